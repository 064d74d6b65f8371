"""What may be wrong between blocks, handles, affinities and endpoints, and everything that is judged."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from felix_py.datastore.keys import AffinityKey, BlockKey, HandleKey, Key
from felix_py.datastore.model import (
    Block,
    BlockAffinity,
    HandleId,
    IPAddress,
    IPNetwork,
    IPPool,
    Node,
    NodeName,
)


class Problem(StrEnum):
    """The kinds of findings, in the words of reports."""

    LEAKED = "leaked address"
    DOUBLED = "doubled address"
    ORPHANED_HANDLE = "orphaned handle"
    WRONG_HANDLE = "wrong handle"
    MISSING_HANDLE = "missing handle"
    PENDING_AFFINITY = "pending affinity"
    AFFINITY_WITHOUT_BLOCK = "affinity without block"
    BLOCK_WITHOUT_AFFINITY = "block without affinity"
    OUTSIDE_POOLS = "address outside any pool"
    ENDPOINT_WITHOUT_ADDRESS = "endpoint without address"
    TUNNEL_WITHOUT_ADDRESS = "tunnel without address"
    UNREADABLE = "unreadable object"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about, so exactly that the same subject later is the same thing unchanged."""

    key: Key | None = None
    revision: int = 0
    """The key's mod_revision; for an address its allocation's sequence number."""
    address: IPAddress | None = None
    handle_id: HandleId | None = None
    namespace: str = ""
    node: str = ""
    """Where the holder says that its pod is."""
    cidrs: frozenset[IPNetwork] = frozenset()
    """The blocks in which a handle holds addresses."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its kind, the object, what was found and what may be done."""

    problem: Problem
    what: str
    detail: str
    repair: str
    subject: Subject = Subject()


@dataclass(frozen=True, slots=True)
class Shown:
    """What of an endpoint is judged; there may be a hundred thousand."""

    addresses: tuple[IPAddress, ...]
    node: NodeName
    container_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the comparison looks at, read at one revision."""

    pools: tuple[IPPool, ...] = ()
    blocks: Mapping[BlockKey, Block] = field(default_factory=dict)
    affinities: Mapping[AffinityKey, BlockAffinity] = field(default_factory=dict)
    handles: Mapping[HandleKey, tuple[IPNetwork, ...]] = field(default_factory=dict)
    """The blocks that each names."""
    endpoints: Mapping[str, Shown] = field(default_factory=dict)
    """By the path of their keys."""
    nodes: Mapping[NodeName, Node | None] = field(default_factory=dict)
    """None: the object cannot be read."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Path to reason."""
    revisions: Mapping[Key, int] = field(default_factory=dict)
    """mod_revision of blocks, affinities and handles."""

    def subject(self, key: Key, cidrs: Collection[IPNetwork] = ()) -> Subject:
        """A key as it is now."""
        return Subject(key, self.revisions.get(key, 0), cidrs=frozenset(cidrs))
