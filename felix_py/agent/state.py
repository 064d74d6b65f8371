"""Folds what the syncer and the kernel tell into a Snapshot, and says what may have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from felix_py.agent.snapshot import Claim, Dirty, Snapshot
from felix_py.agent.survivors import Survivor
from felix_py.datastore.changes import NOT_YET, Change, StoreState, StoreStateKey
from felix_py.datastore.keys import (
    AffinityKey,
    BlockKey,
    Key,
    ResourceKey,
    affinity_prefix,
    block_prefix,
    kind_prefix,
)
from felix_py.datastore.model import (
    AffinityState,
    Block,
    BlockAffinity,
    IPNetwork,
    IPPool,
    Kind,
    Node,
    NodeName,
    PoolName,
    Stored,
    Value,
    WorkloadEndpoint,
)
from felix_py.kernel.model import Link
from felix_py.kernel.ownership import LINK_PREFIX

S = TypeVar("S")
T = TypeVar("T")


def watched_prefixes(me: NodeName) -> tuple[str, ...]:
    """What felix's syncer must list and watch."""
    return (
        kind_prefix(Kind.WORKLOAD_ENDPOINT),
        kind_prefix(Kind.IP_POOL),
        kind_prefix(Kind.NODE),
        affinity_prefix(me),
        block_prefix(4),
        block_prefix(6),
    )


class State:
    """One thread's own: `fold` and `set_links` note facts, `take_dirty` says what to decide again."""

    def __init__(self, me: NodeName) -> None:
        self._me = me
        self.store = NOT_YET
        self.invalid: dict[str, str] = {}
        self._endpoints: dict[ResourceKey, Claim] = {}
        self._claims: dict[IPNetwork, dict[ResourceKey, Claim]] = {}
        self._interfaces: dict[str, dict[ResourceKey, Claim]] = {}
        self._blocks: dict[IPNetwork, Block] = {}
        self._affinities: dict[IPNetwork, AffinityState] = {}
        self._pools: dict[PoolName, IPPool] = {}
        self._nodes: dict[NodeName, Stored[Node]] = {}
        self._links: dict[str, Link] = {}
        self._survivors: Mapping[IPNetwork, Survivor] = {}
        self._everything = True
        self._dirty_addresses: set[IPNetwork] = set()
        self._dirty_blocks: set[IPNetwork] = set()
        self._dirty_interfaces: set[str] = set()
        self._dirty_nodes = False

    @property
    def snapshot(self) -> Snapshot:
        """What is known now; valid until the next fold."""
        return Snapshot(
            me=self._me,
            claims=self._claims,
            interfaces=self._interfaces,
            blocks=self._blocks,
            affinities=self._affinities,
            pools=self._pools,
            nodes=self._nodes,
            links=self._links,
            survivors=self._survivors,
        )

    @property
    def unexplained_links(self) -> list[Link]:
        """Pods' links that no endpoint of this node names."""
        return [
            link
            for name, link in self._links.items()
            if name.startswith(LINK_PREFIX) and name not in self._interfaces
        ]

    @property
    def endpoint_count(self) -> int:
        """How many endpoints this node has in etcd."""
        return len(self._endpoints)

    def fold(self, changes: Mapping[Key | StoreStateKey, Change | StoreState]) -> None:
        """Take in what a mailbox held."""
        for key, change in changes.items():
            if isinstance(change, StoreState):
                self.store = change
            elif not isinstance(key, StoreStateKey):
                self._note_invalid(key, change)
                self._fold_one(key, change.stored)

    def set_links(self, links: Iterable[Link]) -> None:
        """The host's links as listed just now. Only what decisions look at makes anything dirty."""
        fresh = {link.name: link for link in links}
        for name in self._links.keys() | fresh.keys():
            if _identity(self._links.get(name)) != _identity(fresh.get(name)):
                self._touch_interface(name)
        self._links = fresh

    def set_survivors(self, found: Mapping[IPNetwork, Survivor]) -> None:
        """Who lives on the unexplained links as found just now."""
        for address in self._survivors.keys() | found.keys():
            if self._survivors.get(address) != found.get(address):
                self._dirty_addresses.add(address)
        self._survivors = found

    def take_dirty(self) -> Dirty:
        """What may have changed since the last call."""
        dirty = Dirty(
            self._everything,
            frozenset(self._dirty_addresses),
            frozenset(self._dirty_blocks),
            frozenset(self._dirty_interfaces),
            self._dirty_nodes,
        )
        self._everything = self._dirty_nodes = False
        for noted in (self._dirty_addresses, self._dirty_blocks, self._dirty_interfaces):
            noted.clear()
        return dirty

    def _note_invalid(self, key: Key, change: Change) -> None:
        if change.invalid is None:
            self.invalid.pop(key.path, None)
        else:
            self.invalid[key.path] = change.invalid.reason

    def _fold_one(self, key: Key, stored: Stored[Value] | None) -> None:
        value = None if stored is None else stored.value
        match key:
            case ResourceKey(kind=Kind.WORKLOAD_ENDPOINT):
                revision = 0 if stored is None else stored.create_revision
                self._fold_endpoint(key, value, revision)
            case ResourceKey(kind=Kind.IP_POOL):
                pool = value if isinstance(value, IPPool) else None
                _put(self._pools, PoolName(key.name), pool)
                self._dirty_nodes = True
            case ResourceKey(kind=Kind.NODE):
                self._fold_node(NodeName(key.name), stored)
            case BlockKey(cidr=cidr):
                mine = isinstance(value, Block) and value.host == self._me
                _put(self._blocks, cidr, value if mine and isinstance(value, Block) else None)
                self._dirty_blocks.add(cidr)
            case AffinityKey(node=self._me, cidr=cidr, virtual=False):
                state = value.state if isinstance(value, BlockAffinity) else None
                _put(self._affinities, cidr, state)
                self._dirty_blocks.add(cidr)
            case _:
                pass

    def _fold_node(self, name: NodeName, stored: Stored[Value] | None) -> None:
        self._nodes.pop(name, None)
        if stored is not None and isinstance(stored.value, Node):
            self._nodes[name] = Stored(
                stored.value, stored.raw, stored.create_revision, stored.mod_revision
            )
        self._dirty_nodes = True

    def _fold_endpoint(self, key: ResourceKey, value: Value | None, create_revision: int) -> None:
        old = self._endpoints.pop(key, None)
        if old is not None:
            self._touch(old)
            for address in old.endpoint.networks:
                _remove(self._claims, address, key)
            _remove(self._interfaces, old.endpoint.interface_name, key)
        if isinstance(value, WorkloadEndpoint) and value.node == self._me:
            claim = Claim(key, value, create_revision)
            self._endpoints[key] = claim
            for address in value.networks:
                self._claims.setdefault(address, {})[key] = claim
            self._interfaces.setdefault(value.interface_name, {})[key] = claim
            self._touch(claim)

    def _touch(self, claim: Claim) -> None:
        self._dirty_addresses.update(claim.endpoint.networks)
        self._dirty_interfaces.add(claim.endpoint.interface_name)

    def _touch_interface(self, name: str) -> None:
        self._dirty_interfaces.add(name)
        for claim in self._interfaces.get(name, {}).values():
            self._touch(claim)
        self._dirty_addresses.update(
            address for address, each in self._survivors.items() if each.link == name
        )


def _identity(link: Link | None) -> tuple[int, str, bool] | None:
    return None if link is None else (link.index, link.alias, link.up)


def _put(values: dict[S, T], key: S, value: T | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _remove(index: dict[S, dict[ResourceKey, Claim]], at: S, key: ResourceKey) -> None:
    claims = index.get(at)
    if claims is not None:
        claims.pop(key, None)
        if not claims:
            del index[at]
