"""A real etcd on free loopback ports with its data in memory, and the real etcdctl beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Self

from felix_py.datastore.settings import DatastoreSettings
from tests.support.certificates import Certificates, make_certificates

READY_SECONDS = 20.0
START_ATTEMPTS = 5
"""Another process may take the port that we found free; a fresh pair is tried then."""

ROOT_PASSWORD = "root-secret"
USER = "felix"
USER_PASSWORD = "felix-secret"


def freeze(pid: int) -> None:
    """SIGSTOP, and wait until every thread is stopped: some go on for a while after the signal."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    while any(" T " not in (task / "stat").read_text("ascii") for task in tasks.iterdir()):
        time.sleep(0.001)


class EtcdServer:
    """One etcd member. A context manager: started on entry, everything removed on exit.

    `auth` creates user `felix` with read and write on /calico/ and /felix-py/ (and root);
    `tls` wants client certificates. `wipe` and `restore` keep ports and cluster id.
    """

    def __init__(
        self, *, tls: bool = False, auth: bool = False, arguments: tuple[str, ...] = ()
    ) -> None:
        shared_memory = Path("/dev/shm")
        self.directory = Path(
            tempfile.mkdtemp(
                prefix="felix-py-etcd-", dir=shared_memory if shared_memory.is_dir() else None
            )
        )
        self.certificates: Certificates | None = None
        if tls:
            self.certificates = make_certificates(self.directory / "tls")
        self.auth = auth
        self.arguments = arguments
        self.client_port = 0
        self.peer_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._token = "first"
        self._generation = 0

    @property
    def endpoint(self) -> str:
        """The client URL."""
        return f"{'https' if self.certificates else 'http'}://127.0.0.1:{self.client_port}"

    @property
    def settings(self) -> DatastoreSettings:
        """Settings with which our adapter reaches it."""
        certificates, password_file = self.certificates, ""
        if self.auth:
            path = self.directory / "password"
            path.write_text(USER_PASSWORD + "\n", "ascii")
            password_file = str(path)
        return DatastoreSettings(
            endpoints=[self.endpoint],
            ca_cert_file=str(certificates.ca) if certificates else "",
            cert_file=str(certificates.client_cert) if certificates else "",
            key_file=str(certificates.client_key) if certificates else "",
            username=USER if self.auth else "",
            password_file=password_file,
        )

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, "not started"
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
            if self.auth:
                self._enable_auth()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def start(self) -> None:
        """Start it (again, with the data it had) and wait until it answers."""
        fresh = not self.client_port
        for _ in range(START_ATTEMPTS):
            if fresh:
                self.client_port, self.peer_port = _free_ports()
            self._spawn()
            if self._await_ready():
                return
            self.kill()
        log = (self.directory / "log").read_text("utf-8", "replace")
        raise RuntimeError(f"etcd does not start: {log[-2000:]}")

    def stop(self) -> None:
        """SIGTERM and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL and wait: a crash."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Crash and start with the same data and ports."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        freeze(self.pid)

    def resume(self) -> None:
        """SIGCONT after pause()."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self, *, keep_cluster_id: bool = True) -> None:
        """Start over with no data, as after `rm -rf` of the data directory."""
        self.kill()
        shutil.rmtree(self._data)
        if not keep_cluster_id:
            self._generation += 1
            self._token = f"token-{self._generation}"
        self.start()

    def snapshot(self) -> Path:
        """Save a snapshot with etcdctl; the file."""
        self._generation += 1
        path = self.directory / f"snapshot-{self._generation}.db"
        self.ctl("snapshot", "save", str(path))
        return path

    def restore(self, snapshot: Path) -> None:
        """Replace the data by a snapshot, as an operator does; the cluster id stays the same."""
        self.kill()
        shutil.rmtree(self._data)
        self._etcdctl(
            *("snapshot", "restore", str(snapshot), "--data-dir", str(self._data)),
            *("--name", "m", "--initial-cluster", f"m={self._peer_url}"),
            *("--initial-cluster-token", self._token),
            *("--initial-advertise-peer-urls", self._peer_url),
        )
        self.start()

    def compact(self) -> int:
        """Compact everything up to now; the revision."""
        revision = self.revision()
        self.ctl("compaction", str(revision))
        return revision

    def revision(self) -> int:
        """The store's revision."""
        answer = json.loads(self.ctl("get", "/none", "-w", "json"))
        return int(answer["header"]["revision"])

    def delete_all(self) -> None:
        """Delete every key."""
        self.ctl("del", "", "--from-key")

    def put(self, key: str, value: str) -> None:
        """Put one key with etcdctl."""
        self.ctl("put", key, stdin=value)

    def dump(self, prefix: str = "/") -> dict[str, str]:
        """Every key of the prefix with its value, as etcdctl reads it."""
        return etcdctl_dump(self, prefix)

    def ctl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run etcdctl against this server; its output. Raises CalledProcessError."""
        return self._etcdctl("--command-timeout", "10s", *self.flags, *arguments, stdin=stdin)

    @property
    def flags(self) -> list[str]:
        """How etcdctl reaches it, as root."""
        options = ["--endpoints", self.endpoint]
        if self.certificates:
            options += ["--cacert", str(self.certificates.ca)]
            options += ["--cert", str(self.certificates.client_cert)]
            options += ["--key", str(self.certificates.client_key)]
        if self.auth and (self.directory / "auth-on").exists():
            options += ["--user", f"root:{ROOT_PASSWORD}"]
        return options

    def remove(self) -> None:
        """End it and delete its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    def _spawn(self) -> None:
        options = [
            *("--name", "m", "--data-dir", str(self._data)),
            *("--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint),
            *("--listen-peer-urls", self._peer_url),
            *("--initial-advertise-peer-urls", self._peer_url),
            *("--initial-cluster", f"m={self._peer_url}", "--initial-cluster-token", self._token),
            *("--heartbeat-interval", "10", "--election-timeout", "100"),
            *("--logger", "zap", "--log-level", "warn"),
        ]
        if self.certificates:
            options += ["--cert-file", str(self.certificates.server_cert)]
            options += ["--key-file", str(self.certificates.server_key)]
            options += ["--client-cert-auth", "--trusted-ca-file", str(self.certificates.ca)]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "etcd", *options, *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _await_ready(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.ctl("endpoint", "health")
            except subprocess.CalledProcessError:
                time.sleep(0.1)
            else:
                return self._process.poll() is None
        return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            if number is signal.SIGTERM:
                self._process.send_signal(signal.SIGCONT)
        self._process.wait(30)
        self._process = None

    def _enable_auth(self) -> None:
        self.ctl("user", "add", f"root:{ROOT_PASSWORD}")
        self.ctl("role", "add", "root")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("user", "add", f"{USER}:{USER_PASSWORD}")
        self.ctl("role", "add", USER)
        for prefix in ("/calico/", "/felix-py/"):
            self.ctl("role", "grant-permission", USER, "--prefix=true", "readwrite", prefix)
        self.ctl("user", "grant-role", USER, USER)
        self.ctl("auth", "enable")
        (self.directory / "auth-on").touch()

    def _etcdctl(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["etcdctl", *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        return done.stdout


def etcdctl_dump(server: EtcdServer, prefix: str = "/") -> dict[str, str]:
    """Every key of the prefix with its value, read with the real etcdctl."""
    answer = json.loads(server.ctl("get", prefix, "--prefix", "-w", "json"))
    return {
        b64decode(item["key"]).decode(): b64decode(item.get("value", "")).decode()
        for item in answer.get("kvs", [])
    }


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
