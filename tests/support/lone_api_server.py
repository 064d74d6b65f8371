"""A real kube-apiserver by itself, on the loopback of the calling thread's network namespace."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from felix_py.lab.kubernetes import binaries
from tests.support.certificates import make_certificates
from tests.support.etcd import EtcdServer

READY_SECONDS = 60.0
ADMIN = "admin"


class LoneApiServer:
    """A context manager. Users are told apart by tokens; `admin` may do everything, others by RBAC."""

    def __init__(self, directory: Path, *users: str) -> None:
        self.directory = directory
        self._programs = binaries.built()
        self._certificates = make_certificates(directory / "tls")
        self._etcd = EtcdServer()
        self._tokens = {user: secrets.token_hex(16) for user in (ADMIN, *users)}
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._port = 0

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self._etcd)
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._port = free.getsockname()[1]
            self._write_tokens()
            undo.callback(self.stop)
            self.start()
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start it, with what it knew before, and wait until it is ready."""
        with (self.directory / "apiserver.log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stderr=log, stdout=log)
        deadline = time.monotonic() + READY_SECONDS
        while self.kubectl("get", "--raw", "/readyz", check=False) != "ok":
            if time.monotonic() > deadline or self._process.poll() is not None:
                text = (self.directory / "apiserver.log").read_text("utf-8", "replace")
                raise AssertionError(f"kube-apiserver is not ready: {text[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill it: clients see connections refused."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def kubeconfig(self, user: str) -> Path:
        """A kubeconfig of this user."""
        path = self.directory / f"{user}.kubeconfig"
        server = f"https://127.0.0.1:{self._port}"
        cluster = {"server": server, "certificate-authority": str(self._certificates.ca)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lone", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self._tokens[user]}}],
            "contexts": [{"name": "lone", "context": {"cluster": "lone", "user": user}}],
            "current-context": "lone",
        }
        path.write_text(yaml.safe_dump(document), "utf-8")
        return path

    def kubectl(self, *arguments: str, text: str = "", check: bool = True) -> str:
        """What kubectl says to the administrator."""
        command = [str(self._programs / "kubectl"), "--kubeconfig", str(self.kubeconfig(ADMIN))]
        done = subprocess.run(
            [*command, *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=READY_SECONDS,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def apply(self, *documents: dict[str, Any]) -> None:
        """kubectl apply."""
        self.kubectl("apply", "-f", "-", text="\n---\n".join(json.dumps(d) for d in documents))

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """The items of kubectl get."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))[
            "items"
        ]
        return found

    def _command(self) -> list[str]:
        made = self._certificates
        return [
            str(self._programs / "kube-apiserver"),
            "--bind-address=127.0.0.1", f"--secure-port={self._port}",
            "--advertise-address=192.0.2.1", "--service-cluster-ip-range=10.96.0.0/16",
            f"--etcd-servers={self._etcd.endpoint}", f"--token-auth-file={self._tokens_file}",
            f"--tls-cert-file={made.server_cert}", f"--tls-private-key-file={made.server_key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={made.server_cert}",
            f"--service-account-signing-key-file={made.server_key}",
            "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none", "--profiling=false",
        ]  # fmt: skip

    @property
    def _tokens_file(self) -> Path:
        return self.directory / "tokens.csv"

    def _write_tokens(self) -> None:
        groups = {ADMIN: ',"system:masters"'}
        lines = [
            f"{token},{user},{user}{groups.get(user, '')}" for user, token in self._tokens.items()
        ]
        self._tokens_file.write_text("\n".join(lines) + "\n", "ascii")
