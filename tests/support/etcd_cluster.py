"""Three real etcd members, to take the quorum away and to fail over."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from felix_py.datastore.settings import DatastoreSettings
from tests.support.etcd import freeze

SIZE = 3
READY_SECONDS = 30.0


class EtcdCluster:
    """A context manager; members are numbered 0 to 2, each can be paused and killed alone."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self.directory = Path(
            tempfile.mkdtemp(prefix="felix-py-etcd3-", dir=memory if memory.is_dir() else None)
        )
        ports = _free_ports(2 * SIZE)
        self.endpoints = [f"http://127.0.0.1:{port}" for port in ports[:SIZE]]
        self._peers = [f"http://127.0.0.1:{port}" for port in ports[SIZE:]]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def settings(self, *members: int, timeout_seconds: float = 5.0) -> DatastoreSettings:
        """Settings that name these members in this order; all when none is named."""
        endpoints = [self.endpoints[member] for member in members or range(SIZE)]
        return DatastoreSettings(endpoints=endpoints, timeout_seconds=timeout_seconds)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.remove)
            for member in range(SIZE):
                self.start(member)
            self.await_quorum()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def start(self, member: int) -> None:
        """Start one member (again)."""
        initial = ",".join(f"m{number}={url}" for number, url in enumerate(self._peers))
        with (self.directory / f"log-{member}").open("ab") as log:
            self._processes[member] = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "etcd", "--name", f"m{member}"),
                    *("--data-dir", str(self.directory / f"data-{member}")),
                    *("--listen-client-urls", self.endpoints[member]),
                    *("--advertise-client-urls", self.endpoints[member]),
                    *("--listen-peer-urls", self._peers[member]),
                    *("--initial-advertise-peer-urls", self._peers[member]),
                    *("--initial-cluster", initial, "--initial-cluster-token", "three"),
                    *("--heartbeat-interval", "50", "--election-timeout", "500"),
                    *("--logger", "zap", "--log-level", "warn"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def await_quorum(self) -> None:
        """Wait until the members answer linearizable reads."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._healthy():
                return
            time.sleep(0.1)
        raise RuntimeError("the etcd cluster has no quorum")

    def kill(self, member: int) -> None:
        """SIGKILL and wait."""
        process = self._processes.pop(member)
        process.kill()
        process.wait(30)

    def pause(self, member: int) -> None:
        """SIGSTOP, and wait until it is stopped."""
        freeze(self._processes[member].pid)

    def resume(self, member: int) -> None:
        """SIGCONT."""
        self._processes[member].send_signal(signal.SIGCONT)

    def leader(self) -> int:
        """The member that leads."""
        for member, endpoint in enumerate(self.endpoints):
            line = self._etcdctl(endpoint, "endpoint", "status", "-w", "simple").stdout
            if line.split(",")[4].strip() == "true":
                return member
        raise RuntimeError("no leader")

    def remove(self) -> None:
        """End all of it."""
        for member in list(self._processes):
            self.kill(member)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _healthy(self) -> bool:
        return all(
            self._etcdctl(self.endpoints[member], "endpoint", "health").returncode == 0
            for member in self._processes
        )

    def _etcdctl(self, endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["etcdctl", "--endpoints", endpoint, "--command-timeout", "2s", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin:/usr/local/bin"},
        )


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
