"""Certificates as Secrets of our namespace: made once, renewed when they do not serve any more."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from felix_py.install import certificates
from felix_py.install.api import Api
from felix_py.install.certificates import Pair
from felix_py.install.roles import CONTROLLERS, NODE, ROOT
from felix_py.runtime.errors import RefusedError

log = structlog.get_logger(__name__)

AUTHORITY = "felix-py-etcd-ca"
"""Its key never leaves this Secret and this Job."""
SERVER = "felix-py-etcd-server"
ADMIN = "felix-py-etcd-admin"
SERVER_NAMES = ("127.0.0.1", "localhost", "felix-py-etcd", "felix-py-etcd.felix-py.svc")
CLIENTS: Mapping[str, str] = {
    "felix-py-etcd-node": NODE,
    "felix-py-etcd-controllers": CONTROLLERS,
    ADMIN: ROOT,
}
"""Each Secret of a client and its common name, which is its user in etcd."""
LABELS = {"app.kubernetes.io/name": "felix-py", "app.kubernetes.io/component": "etcd"}


@dataclass(frozen=True, slots=True)
class Member:
    """A node that holds etcd's data."""

    node: str
    address: str

    @property
    def peer(self) -> str:
        """As etcd's --initial-cluster names it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.node}=https://{host}:12380"


@dataclass(frozen=True, slots=True)
class Vault:
    """The Secrets of one namespace."""

    api: Api
    namespace: str

    def provide(self, names: Sequence[str], members: Sequence[Member]) -> Pair:
        """Have every Secret; what root proves himself with, signed by the authority."""
        signer = self._authority()
        served = tuple(dict.fromkeys((*SERVER_NAMES, *names, *(one.address for one in members))))
        initial = ",".join(member.peer for member in members)
        self._have(SERVER, signer, SERVER, served, {"members": initial.encode()})
        for secret, user in CLIENTS.items():
            self._have(secret, signer, user)
        admin = self.read(ADMIN)
        return Pair(admin["tls.crt"], admin["tls.key"])

    def read(self, name: str) -> dict[str, bytes]:
        """The content of a Secret; empty when it is absent."""
        found = self.api.get(self._path(name))
        data = (found or {}).get("data") or {}
        return {key: b64decode(text) for key, text in data.items()}

    def _authority(self) -> Pair:
        held = self.read(AUTHORITY)
        if held:
            if not {"tls.crt", "tls.key"} <= set(held):
                raise RefusedError(f"Secret {AUTHORITY}: tls.crt or tls.key is missing; see docs")
            return Pair(held["tls.crt"], held["tls.key"])
        made = certificates.authority("felix-py etcd")
        self._write(AUTHORITY, {"tls.crt": made.certificate, "tls.key": made.key}, new=True)
        return made

    def _have(
        self,
        name: str,
        signer: Pair,
        user: str,
        served: Sequence[str] = (),
        more: Mapping[str, bytes] | None = None,
    ) -> None:
        held, more = self.read(name), more or {}
        good = certificates.serves(held.get("tls.crt", b""), signer.certificate, served)
        if good and held.get("tls.key") and all(held.get(key) == more[key] for key in more):
            return
        pair = Pair(held["tls.crt"], held["tls.key"]) if good else None
        pair = pair or certificates.signed(signer, user, served)
        content = {"ca.crt": signer.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}
        self._write(name, {**content, **more}, new=not held)

    def _write(self, name: str, content: Mapping[str, bytes], *, new: bool) -> None:
        data = {key: b64encode(raw).decode("ascii") for key, raw in content.items()}
        if new:
            document = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace, "labels": LABELS},
                "type": "Opaque",
                "data": data,
            }
            self.api.create(self._path(), document)
        else:
            self.api.patch(self._path(name), {"data": data})
        log.info("secret written", secret=name, fresh=new)

    def _path(self, name: str = "") -> str:
        path = f"/api/v1/namespaces/{self.namespace}/secrets"
        return f"{path}/{name}" if name else path
