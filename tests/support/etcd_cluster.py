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
from felix_py.install import certificates
from felix_py.install.roles import CONTROLLERS, NODE, ROLES, ROOT
from tests.support.etcd import freeze

SIZE = 3
USERS = (ROOT, NODE, CONTROLLERS)
READY_SECONDS = 30.0


class EtcdCluster:
    """A context manager; members are numbered 0 to 2, each can be paused and killed alone.

    `secure`: TLS, a certificate for each of the product's users, and the roles of its installation.
    """

    def __init__(self, *, secure: bool = False) -> None:
        memory = Path("/dev/shm")
        self.directory = Path(
            tempfile.mkdtemp(prefix="felix-py-etcd3-", dir=memory if memory.is_dir() else None)
        )
        ports = _free_ports(2 * SIZE)
        scheme = "https" if secure else "http"
        self.endpoints = [f"{scheme}://127.0.0.1:{port}" for port in ports[:SIZE]]
        self._peers = [f"http://127.0.0.1:{port}" for port in ports[SIZE:]]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.secure = secure
        if secure:
            self._make_certificates()

    def settings_of(self, user: str) -> DatastoreSettings:
        """All members, as one of the product's users."""
        files = {"ca_cert_file": "ca", "cert_file": user, "key_file": f"{user}-key"}
        named = {field: str(self._file(name)) for field, name in files.items()}
        return DatastoreSettings(endpoints=self.endpoints, timeout_seconds=2.0, **named)  # type: ignore[arg-type]

    @property
    def flags(self) -> list[str]:
        """How etcdctl reaches it, as root."""
        return ["--endpoints", ",".join(self.endpoints), *self._identity]

    def put(self, key: str, value: str) -> None:
        """Put one key with etcdctl."""
        self.ctl("put", key, "--", value)

    def ctl(self, *arguments: str) -> str:
        """Run etcdctl as root; its output."""
        done = self._etcdctl(",".join(self.endpoints), *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

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
            if self.secure:
                self._give_roles()
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
                    *self._tls,
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

    def _make_certificates(self) -> None:
        authority = certificates.authority("test")
        self._file("ca").write_bytes(authority.certificate)
        for name in ("server", *USERS):
            names = ("127.0.0.1", "localhost") if name == "server" else ()
            pair = certificates.signed(authority, name, names)
            self._file(name).write_bytes(pair.certificate)
            self._file(f"{name}-key").write_bytes(pair.key)

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}.pem"

    @property
    def _tls(self) -> list[str]:
        if not self.secure:
            return []
        own = [
            "--cert-file",
            str(self._file("server")),
            "--key-file",
            str(self._file("server-key")),
        ]
        return [*own, "--client-cert-auth", "--trusted-ca-file", str(self._file("ca"))]

    @property
    def _identity(self) -> list[str]:
        if not self.secure:
            return []
        own = ["--cert", str(self._file(ROOT)), "--key", str(self._file(f"{ROOT}-key"))]
        return ["--cacert", str(self._file("ca")), *own]

    def _give_roles(self) -> None:
        """As felix-py-install does, by etcdctl."""
        for user in USERS:
            self.ctl("user", "add", user, "--no-password")
            self.ctl("role", "add", user)
            self.ctl("user", "grant-role", user, user)
            for grant in ROLES.get(user, ()):
                prefix = () if grant.exact else ("--prefix",)
                kind = "readwrite" if grant.write else "read"
                self.ctl("role", "grant-permission", *prefix, user, kind, grant.key)
        self.ctl("auth", "enable")

    def _healthy(self) -> bool:
        return all(
            self._etcdctl(self.endpoints[member], "endpoint", "health").returncode == 0
            for member in self._processes
        )

    def _etcdctl(self, endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("etcdctl", "--endpoints", endpoint, "--command-timeout", "2s"),
                *self._identity,
                *arguments,
            ],
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
