"""Walks etcd's whole history revision by revision, with etcdctl and plain JSON only.

At every revision: an allocated address has one handle, whose key names the block with the true count;
an endpoint's addresses are held by its own container's handle, and no two endpoints share one.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Protocol

BLOCKS = "/calico/ipam/v2/assignment/"
HANDLES = "/calico/ipam/v2/handle/"
ENDPOINTS = "/calico/resources/v3/projectcalico.org/workloadendpoints/"
MARK = "/calico/end-of-history"

Change = tuple[str, Any]


class Told(Protocol):
    """An etcd whose history is asked for."""

    @property
    def flags(self) -> list[str]:
        """How etcdctl reaches it, as somebody who may read everything."""
        ...

    def put(self, key: str, value: str) -> None:
        """Write a key."""
        ...


def history(server: Told) -> Iterator[tuple[int, list[Change]]]:
    """(revision, what it changed) from the first revision to now; None is a deletion."""
    mark = f"{MARK}/{secrets.token_hex(4)}"
    server.put(mark, "{}")
    command = ["etcdctl", *server.flags, "watch", "--rev=1", "-w", "json"]
    with subprocess.Popen(
        [*command, "--prefix", "/calico/"], stdout=subprocess.PIPE, text=True
    ) as watch:
        try:
            yield from by_revision(watch, mark)
        finally:
            watch.kill()


def by_revision(watch: subprocess.Popen[str], mark: str) -> Iterator[tuple[int, list[Change]]]:
    """What `etcdctl watch -w json` says, until the mark was written."""
    assert watch.stdout is not None
    revision = 0
    changes: list[Change] = []
    for line in watch.stdout:
        for event in json.loads(line)["Events"]:
            at = event["kv"]["mod_revision"]
            if at != revision and changes:
                yield revision, changes
                changes = []
            revision = at
            key = base64.b64decode(event["kv"]["key"]).decode()
            if key == mark:
                return
            gone = event.get("type", 0) == 1
            raw = base64.b64decode(event["kv"].get("value", ""))
            changes.append((key, None if gone else json.loads(raw)))


@dataclass
class World:
    """The store at one revision, in the few words that matter."""

    held: dict[str, dict[str, str]] = field(default_factory=dict)
    """Block key to address to handle."""
    owner_of: dict[str, str] = field(default_factory=dict)
    """Address to handle."""
    handles: dict[str, dict[str, int]] = field(default_factory=dict)
    endpoints: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    """Endpoint key to (handle of its container, addresses)."""
    shown: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Address to endpoints."""
    borrowed: int = 0
    most_held: int = 0

    def apply(self, changes: list[Change]) -> list[str]:
        """Take one revision in; what is wrong after it."""
        handles: set[str] = set()
        problems: list[str] = []
        for key, value in changes:
            if key.startswith(BLOCKS):
                problems += self._block(key, value, handles)
            elif key.startswith(HANDLES):
                handles.add(key.removeprefix(HANDLES))
                self.handles.pop(key.removeprefix(HANDLES), None)
                if value is not None:
                    self.handles[key.removeprefix(HANDLES)] = value["block"]
            elif key.startswith(ENDPOINTS):
                self._endpoint(key, value)
                handles.add(self.endpoints.get(key, ("", []))[0])
        self.most_held = max(self.most_held, len(self.owner_of))
        return problems + [text for handle in handles - {""} for text in self._check(handle)]

    def _block(self, key: str, value: Any, handles: set[str]) -> list[str]:
        problems: list[str] = []
        before = self.held.pop(key, {})
        now: dict[str, str] = {}
        if value is not None:
            now, problems = self._allocations(value)
            self.held[key] = now
        for address in before:
            if self.owner_of.get(address) == before[address]:
                del self.owner_of[address]
        for address, handle in now.items():
            if address in self.owner_of:
                other = self.owner_of[address]
                problems.append(f"{address} is held by {other} and by {handle} in another block")
            self.owner_of[address] = handle
        changed = {*before.items()} ^ {*now.items()}
        handles.update(handle for _, handle in changed)
        return problems

    def _allocations(self, block: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
        first = ip_network(block["cidr"]).network_address
        now: dict[str, str] = {}
        for ordinal, index in enumerate(block["allocations"]):
            if index is not None:
                attribute = block["attributes"][index]
                now[str(first + ordinal)] = attribute["handle_id"]
                holder = f"host:{attribute.get('secondary', {}).get('node')}"
                self.borrowed += holder != block["affinity"]
        free = [o for o, index in enumerate(block["allocations"]) if index is None]
        wrong = sorted(block["unallocated"]) != free
        return now, [f"{block['cidr']}: unallocated is not what is free"] if wrong else []

    def _endpoint(self, key: str, value: Any) -> None:
        _, addresses = self.endpoints.pop(key, ("", []))
        for address in addresses:
            self.shown[address].discard(key)
        if value is not None:
            addresses = [net.partition("/")[0] for net in value["spec"]["ipNetworks"]]
            self.endpoints[key] = (f"net.{value['spec']['containerID']}", addresses)
            for address in addresses:
                self.shown[address].add(key)

    def _check(self, handle: str) -> list[str]:
        """One handle against the blocks and endpoints."""
        real: Counter[str] = Counter()
        for key, held in self.held.items():
            mine = sum(1 for owner in held.values() if owner == handle)
            if mine:
                real[_cidr(key)] = mine
        problems = []
        if dict(real) != self.handles.get(handle, {}):
            problems.append(f"{handle}: key says {self.handles.get(handle)}, blocks {dict(real)}")
        for key, (owner, addresses) in self.endpoints.items():
            if owner != handle:
                continue
            for address in addresses:
                if self.owner_of.get(address) != handle:
                    problems.append(f"{key}: {address} is held by {self.owner_of.get(address)}")
                if len(self.shown[address]) > 1:
                    problems.append(f"{address} is shown by {sorted(self.shown[address])}")
        return problems


def _cidr(key: str) -> str:
    return key.rpartition("/")[2].replace("-", "/")
