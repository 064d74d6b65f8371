"""Folds what the syncer and the kernel tell into a Snapshot, and says what may have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from felix_py.agent.marks import Marks
from felix_py.agent.snapshot import Claim, Dirty, Snapshot
from felix_py.agent.survivors import Survivor
from felix_py.datastore.calc.owners import Owners
from felix_py.datastore.calc.reachability import Backend, Terms, terms_of
from felix_py.datastore.changes import NOT_YET, Change, StoreState, StoreStateKey
from felix_py.datastore.felix_configuration import FelixConfiguration, effective
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
    IPAddress,
    IPNetwork,
    IPPool,
    Kind,
    Node,
    NodeName,
    PoolName,
    Stored,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration
from felix_py.datastore.territory import Holding, holding_of
from felix_py.datastore.values import Value
from felix_py.kernel.model import Address, Link
from felix_py.kernel.ownership import IPIP_LINK, LINK_PREFIX, VXLAN_LINKS
from ipam.tunnels import present

REMOTE_LINKS = frozenset({IPIP_LINK, *VXLAN_LINKS.values()})
"""Links that routes to other nodes go through."""

S = TypeVar("S")
T = TypeVar("T")


def watched_prefixes(me: NodeName) -> tuple[str, ...]:
    """What felix's syncer must list and watch."""
    return (
        kind_prefix(Kind.WORKLOAD_ENDPOINT),
        kind_prefix(Kind.IP_POOL),
        kind_prefix(Kind.NODE),
        kind_prefix(Kind.FELIX_CONFIGURATION),
        kind_prefix(Kind.BGP_CONFIGURATION),
        affinity_prefix(me),
        block_prefix(4),
        block_prefix(6),
    )


class State:
    """One thread's own: `fold` and `set_links` note facts, `take_dirty` says what to decide again."""

    def __init__(self, me: NodeName, backend: Backend = Backend.BGP) -> None:
        self._me = me
        self._backend = backend
        self.store = NOT_YET
        self.invalid: dict[str, str] = {}
        self._endpoints: dict[ResourceKey, Claim] = {}
        self._claims: dict[IPNetwork, dict[ResourceKey, Claim]] = {}
        self._interfaces: dict[str, dict[ResourceKey, Claim]] = {}
        self._blocks: dict[IPNetwork, Block] = {}
        self._affinities: dict[IPNetwork, AffinityState] = {}
        self._pools: dict[PoolName, IPPool] = {}
        self._nodes: dict[NodeName, Stored[Node]] = {}
        self._felix: dict[str, FelixConfiguration] = {}
        self._bgp: dict[str, BGPConfiguration] = {}
        self._owners = Owners()
        self._configuration, self._terms = FelixConfiguration(), Terms(backend)
        self._uplinks: dict[int, int] = {}
        self._links: dict[str, Link] = {}
        self._survivors: Mapping[IPNetwork, Survivor] = {}
        self._marks = Marks()

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
            owners=self._owners.owner,
            tunnel_addresses=self._tunnel_addresses,
            uplinks=self._uplinks,
            configuration=self._configuration,
            terms=self._terms,
        )

    @property
    def _tunnel_addresses(self) -> Mapping[str, IPAddress]:
        held = self._owners.tunnel_addresses(self._me)
        mine = self._nodes.get(self._me)
        if not held or mine is None:
            return {}
        return present(held, self._pools.values(), mine.value, self._configuration)

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

    def fold(self, changes: Mapping[Key | StoreStateKey, Change | StoreState]) -> bool:
        """Take in what a mailbox held; whether any of it is news to this node."""
        told = False
        for key, change in changes.items():
            if isinstance(change, StoreState):
                told = told or _standing(change) != _standing(self.store)
                self.store = change
            elif not isinstance(key, StoreStateKey):
                self._note_invalid(key, change)
                self._fold_one(key, change.stored)
        if self._marks.nodes:
            self._settle_configuration()
        return told or self._marks.any

    def set_addresses(self, addresses: Iterable[Address]) -> None:
        """The host's addresses as listed just now."""
        found: dict[int, int] = {}
        mine = self._nodes.get(self._me)
        own = () if mine is None else (mine.value.ipv4_address, mine.value.ipv6_address)
        at = {address.interface.ip: address.ifindex for address in addresses}
        for interface in own:
            if interface is not None and interface.ip in at:
                found[interface.version] = at[interface.ip]
        if found != self._uplinks:
            self._uplinks = found
            self._marks.links = self._marks.all_remotes = True

    def set_links(self, links: Iterable[Link]) -> None:
        """The host's links as listed just now. Only what decisions look at makes anything dirty."""
        fresh = {link.name: link for link in links}
        for name in self._links.keys() | fresh.keys():
            if _identity(self._links.get(name)) != _identity(fresh.get(name)):
                self._touch_interface(name)
                self._marks.links = True
                self._marks.all_remotes |= name in REMOTE_LINKS
        self._links = fresh

    def set_survivors(self, found: Mapping[IPNetwork, Survivor]) -> None:
        """Who lives on the unexplained links as found just now."""
        for address in self._survivors.keys() | found.keys():
            if self._survivors.get(address) != found.get(address):
                self._marks.addresses.add(address)
        self._survivors = found

    def take_dirty(self) -> Dirty:
        """What may have changed since the last call."""
        return self._marks.take()

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
                self._marks.nodes = self._marks.all_remotes = True
            case ResourceKey(kind=Kind.FELIX_CONFIGURATION):
                felix = value if isinstance(value, FelixConfiguration) else None
                _put(self._felix, key.name, felix)
                self._marks.nodes = True
            case ResourceKey(kind=Kind.BGP_CONFIGURATION):
                bgp = value if isinstance(value, BGPConfiguration) else None
                _put(self._bgp, key.name, bgp)
                self._marks.nodes = True
            case ResourceKey(kind=Kind.NODE):
                self._fold_node(NodeName(key.name), stored)
            case BlockKey(cidr=cidr):
                self._fold_block(cidr, value)
            case AffinityKey(node=self._me, cidr=cidr, virtual=False):
                state = value.state if isinstance(value, BlockAffinity) else None
                _put(self._affinities, cidr, state)
                self._marks.blocks.add(cidr)
            case _:
                pass

    def _fold_block(self, cidr: IPNetwork, value: Value | None) -> None:
        block = value if isinstance(value, Block) else None
        mine = block is not None and block.host == self._me
        if mine or cidr in self._blocks:
            _put(self._blocks, cidr, block if mine else None)
            self._marks.blocks.add(cidr)
        holding = value if isinstance(value, Holding) else None
        before = self._owners.tunnel_addresses(self._me)
        changed = self._owners.fold(cidr, holding if block is None else holding_of(block))
        self._marks.remotes |= changed
        if before != self._owners.tunnel_addresses(self._me):
            self._marks.nodes = True

    def _settle_configuration(self) -> None:
        """Merge again what the configuration objects say; another answer concerns every route."""
        mine = self._nodes.get(self._me)
        labels = {} if mine is None else mine.value.meta.labels
        self._configuration = effective(self._felix, self._me, labels)
        terms = terms_of(self._backend, self._configuration, self._bgp)
        if terms != self._terms:
            self._terms = terms
            self._marks.all_remotes = True

    def _fold_node(self, name: NodeName, stored: Stored[Value] | None) -> None:
        self._nodes.pop(name, None)
        if stored is not None and isinstance(stored.value, Node):
            self._nodes[name] = Stored(
                stored.value, stored.raw, stored.create_revision, stored.mod_revision
            )
        self._marks.nodes = True
        if name == self._me:
            self._marks.all_remotes = True
        else:
            self._marks.remotes |= self._owners.prefixes_of(name)

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
        self._marks.addresses.update(claim.endpoint.networks)
        self._marks.interfaces.add(claim.endpoint.interface_name)

    def _touch_interface(self, name: str) -> None:
        self._marks.interfaces.add(name)
        for claim in self._interfaces.get(name, {}).values():
            self._touch(claim)
        self._marks.addresses.update(
            address for address, each in self._survivors.items() if each.link == name
        )


def _standing(store: StoreState) -> tuple[bool, bool, str | None]:
    """All of it but the revision, which every write of anybody raises."""
    return store.in_sync, store.connected, store.frozen


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
