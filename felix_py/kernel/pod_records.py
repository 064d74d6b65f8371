"""The records that the CNI server keeps beside pods' links, as the other processes of a node read them.

<runDir>/endpoints/<host link>.json: which attachment a link belongs to and which addresses it has. A
record is written before its link is made and replaced only with it, so it can be read once per link.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import msgspec

from felix_py.kernel.model import IPNetwork, Link
from felix_py.kernel.ownership import LINK_PREFIX
from felix_py.kernel.pod_route import host_prefix


class PodRecord(msgspec.Struct, frozen=True, rename="camel"):
    """The part of a record that others look at; `namespace` and `pod` are empty outside Kubernetes."""

    host_link: str
    handle: str
    addresses: tuple[str, ...]
    container_id: str = ""
    namespace: str = ""
    pod: str = ""
    ifname: str = ""
    netns: str = ""
    mtu: int = 0
    """What configuration fixed; 0: felix's."""

    @property
    def networks(self) -> tuple[IPNetwork, ...]:
        """The addresses as /32 or /128."""
        return tuple(host_prefix(ip_address(text)) for text in self.addresses)

    @property
    def title(self) -> str:
        """Whose it is, for people."""
        return f"{self.namespace}/{self.pod}" if self.pod else f"container {self.container_id[:12]}"


def record_of(link: Link, run_dir: str) -> PodRecord | None:
    """The record of a pod's link that stands; None for other links and what cannot be read."""
    if not link.name.startswith(LINK_PREFIX) or not link.alias or "/" in link.name:
        return None
    path = Path(run_dir) / "endpoints" / f"{link.name}.json"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=PodRecord)
        readable = bool(record.networks)
    except (OSError, ValueError):
        return None
    return record if readable and record.handle == link.alias else None
