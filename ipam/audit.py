"""Two looks at the store, each at one revision; only what both show alike is reported.

Pods may keep starting meanwhile: no lock. A request in flight (a Calico client's address before its
endpoint) is gone at the second look, and a handle names its container, so the same finding twice is the
same lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

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
    IPNetwork,
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
from ipam.findings import Finding, Shown, Snapshot

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


def audit(
    store: Store,
    wait: Callable[[float], object] = time.sleep,
    between_seconds: float = BETWEEN_LOOKS_SECONDS,
) -> Audit:
    """Look twice and report. Raises StoreAway, GaveUp."""
    snapshot, revision = _look(store)
    before = frozenset(compare(snapshot))
    if before:
        del snapshot  # two of them are too much for a node at a hundred thousand endpoints
        wait(between_seconds)
        snapshot, revision = _look(store)
    return Audit(
        tuple(each for each in compare(snapshot) if each in before) if before else (),
        revision,
        addresses=sum(len(b.allocations) - len(b.unallocated) for b in snapshot.blocks.values()),
        blocks=len(snapshot.blocks),
        endpoints=len(snapshot.endpoints),
    )


def snapshot_of(store: Store) -> Snapshot:
    """Everything that is compared, at one revision. Raises StoreAway, GaveUp."""
    return _look(store)[0]


def _look(store: Store) -> tuple[Snapshot, int]:
    for _ in range(LOOK_ATTEMPTS):
        try:
            return _read(store)
        except RevisionCompacted:
            continue
    raise GaveUp(f"the store was compacted {LOOK_ATTEMPTS} times while it was read; try again")


def _read(store: Store) -> tuple[Snapshot, int]:
    gathered, revision = _Gathered(), 0
    for prefix in PREFIXES:
        for page in store.pages(prefix, revision=revision):
            revision = page.revision
            for item in page.items:
                gathered.take(item)
    return gathered.snapshot(), revision


@dataclass(slots=True)
class _Gathered:
    """What is judged, and no more of each object than that."""

    pools: list[IPPool] = field(default_factory=list)
    blocks: dict[BlockKey, Block] = field(default_factory=dict)
    affinities: dict[AffinityKey, BlockAffinity] = field(default_factory=dict)
    handles: dict[HandleKey, tuple[IPNetwork, ...]] = field(default_factory=dict)
    endpoints: dict[str, Shown] = field(default_factory=dict)
    nodes: dict[NodeName, Node | None] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    revisions: dict[Key, int] = field(default_factory=dict)
    _known: dict[tuple[IPNetwork, ...], tuple[IPNetwork, ...]] = field(default_factory=dict)
    """Handles of one block share what they name."""

    def take(self, item: KeyValue) -> None:
        """One object."""
        key = parse(item.key)
        if key is None:
            return
        value = codec.decode(key, item.value)
        if isinstance(key, ResourceKey) and key.kind is Kind.NODE:
            self.nodes[NodeName(key.name)] = value if isinstance(value, Node) else None
        if isinstance(value, Invalid):
            self.unreadable[item.key] = value.reason
        elif isinstance(value, WorkloadEndpoint):
            addresses = tuple(net.network_address for net in value.networks)
            shown = Shown(addresses, value.node, value.container_id, item.mod_revision)
            self.endpoints[item.key] = shown
        elif isinstance(value, IPPool):
            self.pools.append(value)
        else:
            self._take_ipam(key, value, item.mod_revision)

    def snapshot(self) -> Snapshot:
        """The whole."""
        return Snapshot(
            pools=tuple(self.pools),
            blocks=self.blocks,
            affinities=self.affinities,
            handles=self.handles,
            endpoints=self.endpoints,
            nodes=self.nodes,
            unreadable=self.unreadable,
            revisions=self.revisions,
        )

    def _take_ipam(self, key: Key, value: Value, revision: int) -> None:
        self.revisions[key] = revision
        if isinstance(key, BlockKey) and isinstance(value, Block):
            self.blocks[key] = value
        elif isinstance(key, AffinityKey) and isinstance(value, BlockAffinity):
            self.affinities[key] = value
        elif isinstance(key, HandleKey) and isinstance(value, Handle):
            named = tuple(value.blocks)
            self.handles[key] = self._known.setdefault(named, named)
