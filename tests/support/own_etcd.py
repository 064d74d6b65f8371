"""An operator's own etcd beside a cluster: TLS, and users who prove themselves by password or certificate."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from felix_py.install import certificates
from felix_py.install.certificates import Pair
from felix_py.install.roles import CONTROLLERS, NODE, ROLES, ROOT
from felix_py.lab.addressing import etcd_address
from felix_py.lab.fabric import ETCD
from tests.support.cluster import Cluster
from tests.support.lab import eventually

READERS = {
    "felix-py-etcd-node": NODE,
    "felix-py-etcd-controllers": CONTROLLERS,
    "felix-py-etcd-admin": ROOT,
}
"""Each reader's Secret, and who he is for etcd."""
PORT, NOBODY = 2379, 2378
READY_SECONDS = 20.0
END_SECONDS = 20.0


class OwnEtcd:
    """One member on the lab's management network. A context manager: gone on exit."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._inside = ("nsenter", f"--net=/run/netns/{cluster.lab.home.netns(ETCD)}", "--")
        self._directory = directory
        self._address = str(etcd_address(cluster.topology).ip)
        self._authority = certificates.authority("the operator's own")
        self._process: subprocess.Popen[bytes] | None = None
        server = certificates.signed(self._authority, "server", [self._address])
        self._write("server", server)
        self._write("root", certificates.signed(self._authority, ROOT))
        (directory / "ca.crt").write_bytes(self._authority.certificate)

    def __enter__(self) -> Self:
        try:
            self.start()
            self._have_users()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._directory / "data", ignore_errors=True)

    def url(self, port: int = PORT) -> str:
        """Where it listens; at NOBODY's port nothing does."""
        return f"https://{self._address}:{port}"

    def start(self, *, by_certificate: bool = False) -> None:
        """With the data it has; users prove themselves by password, or by certificate alone."""
        own = f"http://127.0.0.1:{PORT + 1}"
        command = [
            *self._inside, "etcd", "--name", "own", "--data-dir", str(self._directory / "data"),
            "--listen-client-urls", self.url(), "--advertise-client-urls", self.url(),
            "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
            "--initial-cluster", f"own={own}", "--cert-file", str(self._directory / "server.crt"),
            "--key-file", str(self._directory / "server.key"),
        ]  # fmt: skip
        if by_certificate:
            command += ["--client-cert-auth", "--trusted-ca-file", str(self._directory / "ca.crt")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        assert eventually(self._answers, READY_SECONDS), (self._directory / "log").read_text()[
            -2000:
        ]

    def stop(self) -> None:
        """SIGTERM and wait."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(END_SECONDS)
            self._process = None

    def etcdctl(self, *arguments: str) -> str:
        """etcd's own command, as root."""
        command = [*self._inside, *self._command(*arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"etcdctl {arguments}: {done.stderr}"
        return done.stdout

    def passwords(self, **wrong: str) -> str:
        """The three Secrets with user and password; `wrong` gives a reader another password."""
        ca = self._authority.certificate
        return _secrets(
            {
                secret: {
                    "ca.crt": ca,
                    "username": user.encode(),
                    "password": wrong.get(secret.rpartition("-")[2], f"{user}-secret").encode(),
                }
                for secret, user in READERS.items()
            }
        )

    def certificates(self, stranger: str = "") -> str:
        """The three Secrets with certificates; the stranger's is signed by another authority."""
        found = {}
        for secret, user in READERS.items():
            foreign = stranger and secret.endswith(stranger)
            signer = certificates.authority("somebody else's") if foreign else self._authority
            pair = certificates.signed(signer, user)
            found[secret] = {
                "ca.crt": self._authority.certificate,
                "tls.crt": pair.certificate,
                "tls.key": pair.key,
            }
        return _secrets(found)

    def _have_users(self) -> None:
        for user in READERS.values():
            self.etcdctl("user", "add", f"{user}:{user}-secret")
            for grant in ROLES.get(user, ()):
                self._grant(user, grant.key, write=grant.write, exact=grant.exact)
            if user == ROOT:
                self.etcdctl("user", "grant-role", ROOT, ROOT)
        self.etcdctl("auth", "enable")

    def _grant(self, user: str, key: str, *, write: bool, exact: bool) -> None:
        if user not in self.etcdctl("role", "list").split():
            self.etcdctl("role", "add", user)
            self.etcdctl("user", "grant-role", user, user)
        prefix = () if exact else ("--prefix",)
        kind = "readwrite" if write else "read"
        self.etcdctl("role", "grant-permission", *prefix, user, kind, key)

    def _answers(self) -> bool:
        command = [*self._inside, *self._command("endpoint", "status", "-w", "json")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode == 0 and bool(json.loads(done.stdout))

    def _command(self, *arguments: str) -> list[str]:
        files = ("ca.crt", "root.crt", "root.key")
        ca, certificate, key = (str(self._directory / name) for name in files)
        known = ("--cacert", ca, "--cert", certificate, "--key", key)
        user = ("--user", f"{ROOT}:{ROOT}-secret")
        return ["etcdctl", "--endpoints", self.url(), *known, *user, *arguments]

    def _write(self, stem: str, pair: Pair) -> None:
        (self._directory / f"{stem}.crt").write_bytes(pair.certificate)
        (self._directory / f"{stem}.key").write_bytes(pair.key)


def _secrets(content: dict[str, dict[str, bytes]]) -> str:
    """As documents to apply."""
    return "\n---\n".join(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": "felix-py"},
                "data": {key: base64.b64encode(text).decode() for key, text in files.items()},
            }
        )
        for name, files in content.items()
    )
