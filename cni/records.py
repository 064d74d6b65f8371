"""What a link's alias is too short for, beside it: <runDir>/endpoints/<host link>.json.

A record is written before its link is made, and both are gone after a reboot. It tells a server
that starts with an empty memory which pod a link belongs to and which addresses it has.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import structlog

from cni import durable_file
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, IPAddress, Kind

log = structlog.get_logger(__name__)


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """One attachment. `pod` and `namespace` are empty outside Kubernetes."""

    host_link: str
    handle: str
    container_id: str
    ifname: str
    namespace: str
    pod: str
    addresses: tuple[str, ...]
    endpoint_namespace: str
    endpoint_name: str
    mac: str = ""
    profiles: tuple[str, ...] = ()
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    generate_name: str = ""
    spec: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """With these five the endpoint can be written again into a store that lost it; `spec`: the fields
    that came from Kubernetes alone."""
    netns: str = ""
    """Where the runtime keeps the pod's namespace; whoever goes there proves first that it is the one."""
    outside: bool = False
    """The addresses are none of IPAM's."""
    mtu: int = 0
    """The MTU that configuration fixed; 0: what felix finds right."""

    @property
    def endpoint(self) -> ResourceKey:
        """The workload endpoint's key."""
        return ResourceKey(Kind.WORKLOAD_ENDPOINT, self.endpoint_name, self.endpoint_namespace)

    @property
    def ip_addresses(self) -> tuple[IPAddress, ...]:
        """The addresses as values."""
        return tuple(ip_address(text) for text in self.addresses)


class Records:
    """All records of this node, in memory and in the directory. Safe to use from several threads.

    A file changes under the lock: a removal must not take the file of the link's next record.
    """

    def __init__(self, run_dir: str) -> None:
        self._directory = Path(run_dir) / "endpoints"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._files = threading.Lock()  # taken first: files change in the order of what they tell
        self._lock = threading.Lock()  # never held over a file, so that no reader waits for a disk
        self._by_link: dict[str, Record] = {}
        self._by_handle: dict[str, Record] = {}
        good, bad = durable_file.read_all(self._directory, Record)
        for path in bad:
            log.warning("record cannot be read and is passed over", path=str(path))
        for path, record in good.items():
            if path.stem == record.host_link and _addresses_are_valid(record):
                self._by_link[record.host_link] = record
                self._by_handle[record.handle] = record

    def __len__(self) -> int:
        return len(self._by_link)

    def all(self) -> tuple[Record, ...]:
        """Every record."""
        with self._lock:
            return tuple(self._by_link.values())

    def of_link(self, host_link: str) -> Record | None:
        """The record of the link with this name."""
        with self._lock:
            return self._by_link.get(host_link)

    def of_handle(self, handle: HandleId) -> Record | None:
        """The record of this attachment, whatever its link is called."""
        with self._lock:
            return self._by_handle.get(handle)

    def write(self, record: Record) -> None:
        """Put a record in place of whatever was written for its link."""
        with self._files:
            durable_file.write(self._path(record.host_link), record, sync=False)
            with self._lock:
                before = self._by_link.get(record.host_link)
                if before is not None:
                    self._by_handle.pop(before.handle, None)
                self._by_link[record.host_link] = record
                self._by_handle[record.handle] = record

    def remove(self, handle: HandleId) -> None:
        """Forget an attachment; absent is fine."""
        with self._files:
            with self._lock:
                record = self._by_handle.pop(handle, None)
                if record is None:
                    return
                self._by_link.pop(record.host_link, None)
            self._path(record.host_link).unlink(missing_ok=True)

    def _path(self, host_link: str) -> Path:
        return self._directory / f"{host_link}.json"


def _addresses_are_valid(record: Record) -> bool:
    try:
        assert record.ip_addresses is not None
    except ValueError:
        return False
    return True
