"""Two looks at the store, each at one revision; only what both show alike is reported.

Pods may keep starting meanwhile: no lock. A request in flight (a Calico client's address before its
endpoint) is gone at the second look, and a handle names its container, so the same finding twice is the
same lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from felix_py.datastore import codec
from felix_py.datastore.errors import RevisionCompacted
from felix_py.datastore.keys import (
    ASSIGNMENT,
    HANDLES,
    HOSTS,
    VIRTUAL,
    AffinityKey,
    BlockKey,
    HandleKey,
    Key,
    ResourceKey,
    kind_prefix,
    parse,
)
from felix_py.datastore.model import (
    Block,
    BlockAffinity,
    Handle,
    Invalid,
    IPPool,
    Kind,
    Node,
    NodeName,
    WorkloadEndpoint,
)
from felix_py.datastore.store import KeyValue, Store
from felix_py.datastore.values import Value
from ipam.comparison import compare
from ipam.errors import GaveUp
from ipam.findings import Finding, Snapshot

PREFIXES = (
    ASSIGNMENT,
    HANDLES,
    HOSTS,
    VIRTUAL,
    kind_prefix(Kind.IP_POOL),
    kind_prefix(Kind.WORKLOAD_ENDPOINT),
    kind_prefix(Kind.NODE),
)

BETWEEN_LOOKS_SECONDS = 2.0
"""Long enough for a Calico client's steps (handle, block, endpoint) to be all there."""

LOOK_ATTEMPTS = 3
"""A compaction may take the revision away while its prefixes are read; then GaveUp."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What both looks found; `revision` is the second's."""

    findings: tuple[Finding, ...]
    revision: int
    addresses: int
    blocks: int
    endpoints: int


@dataclass(frozen=True, slots=True)
class _Look:
    items: dict[str, KeyValue]
    revision: int


def audit(
    store: Store,
    wait: Callable[[float], None] = time.sleep,
    between_seconds: float = BETWEEN_LOOKS_SECONDS,
) -> Audit:
    """Look twice and report. Raises StoreAway, GaveUp."""
    first = _look(store)
    before = frozenset(compare(_snapshot(first)))
    if before:
        wait(between_seconds)
    second = _look(store) if before else first
    snapshot = _snapshot(second)
    findings = [each for each in compare(snapshot) if each in before]
    return Audit(
        tuple(findings),
        second.revision,
        addresses=sum(len(b.allocations) - len(b.unallocated) for b in snapshot.blocks.values()),
        blocks=len(snapshot.blocks),
        endpoints=len(snapshot.endpoints),
    )


def snapshot_of(store: Store) -> Snapshot:
    """Everything that is compared, at one revision. Raises StoreAway, GaveUp."""
    return _snapshot(_look(store))


def _look(store: Store) -> _Look:
    for _ in range(LOOK_ATTEMPTS):
        try:
            return _read(store)
        except RevisionCompacted:
            continue
    raise GaveUp(f"the store was compacted {LOOK_ATTEMPTS} times while it was read; try again")


def _read(store: Store) -> _Look:
    items: dict[str, KeyValue] = {}
    revision = 0
    for prefix in PREFIXES:
        listing = store.list(prefix, revision=revision)
        revision = listing.revision
        items |= {item.key: item for item in listing.items}
    return _Look(items, revision)


def _snapshot(look: _Look) -> Snapshot:
    values: dict[Key, Value] = {}
    nodes: dict[NodeName, Node | None] = {}
    unreadable: dict[str, str] = {}
    for path, item in look.items.items():
        key = parse(path)
        if key is None:
            continue
        value = codec.decode(key, item.value)
        if isinstance(key, ResourceKey) and key.kind is Kind.NODE:
            nodes[NodeName(key.name)] = value if isinstance(value, Node) else None
        if isinstance(value, Invalid):
            unreadable[path] = value.reason
        else:
            values[key] = value
    return Snapshot(
        pools=tuple(v for v in values.values() if isinstance(v, IPPool)),
        blocks={
            k: v for k, v in values.items() if isinstance(k, BlockKey) and isinstance(v, Block)
        },
        affinities={
            k: v
            for k, v in values.items()
            if isinstance(k, AffinityKey) and isinstance(v, BlockAffinity)
        },
        handles={
            k: v for k, v in values.items() if isinstance(k, HandleKey) and isinstance(v, Handle)
        },
        endpoints={k.path: v for k, v in values.items() if isinstance(v, WorkloadEndpoint)},
        nodes=nodes,
        unreadable=unreadable,
        revisions={path: item.mod_revision for path, item in look.items.items()},
    )
