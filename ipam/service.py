"""A Service of Kubernetes as IPAM knows it: Calico's handle. Pure.

Reference: Calico v3.32.1 `kube-controllers/pkg/controllers/loadbalancer`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from felix_py.datastore.model import HandleId

SERVICE_PREFIX = "lb-"
"""What the handles of Services begin with."""


@dataclass(frozen=True, slots=True)
class Service:
    """A Service of Kubernetes; its uid tells it from an earlier one of the same name."""

    namespace: str
    name: str
    uid: str

    @property
    def handle_id(self) -> HandleId:
        """Calico's: a hash, so that any name fits into a key."""
        text = f"{self.name}-{self.namespace}-{self.uid}".lower()
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return HandleId(SERVICE_PREFIX + "".join(c for c in digest if c not in "-_="))
