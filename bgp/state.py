"""Folds what the syncer tells into a Snapshot, and tells which decisions it touches.

Big clusters are the reason for its shape: of thousands of blocks and endpoints only those that
concern this node are kept, and a change that alters nothing that BGP looks at marks nothing dirty.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from felix_py.datastore import keys
from felix_py.datastore.calc.owners import Owners
from felix_py.datastore.calc.reachability import Backend, Terms, terms_of
from felix_py.datastore.changes import (
    NOT_YET,
    Change,
    StoreState,
    StoreStateKey,
)
from felix_py.datastore.codec import decode
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
    IPNetwork,
    IPPool,
    Kind,
    Node,
    NodeName,
    PoolName,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from felix_py.datastore.territory import Holding, holding_of
from felix_py.datastore.values import Value

_WATCHED_KINDS = (
    Kind.IP_POOL,
    Kind.BGP_CONFIGURATION,
    Kind.BGP_PEER,
    Kind.FELIX_CONFIGURATION,
    Kind.NODE,
    Kind.WORKLOAD_ENDPOINT,
)


ACCEPT_PATIENCE_SECONDS = 2.0
"""After an operator accepted a store that went back: so long at the least for felix and the CNI servers
to put nodes, blocks and endpoints back into it. Before that it would have us withdraw what lives."""


def is_awaited(path: str) -> bool:
    """What must be back before that store is followed, where it was known before: nodes, for without
    them sessions would end, and this node's endpoints, with which the CNI server brings blocks."""
    return path.startswith((kind_prefix(Kind.NODE), kind_prefix(Kind.WORKLOAD_ENDPOINT)))


def is_back(path: str, raw: bytes) -> bool:
    """A Node counts with its address alone: felix writes it again; without it there is no session."""
    key = keys.parse(path)
    value = None if key is None else decode(key, raw)
    if isinstance(value, Node):
        return value.ipv4_address is not None or value.ipv6_address is not None
    return True


def watched_prefixes(node: NodeName) -> tuple[str, ...]:
    """What the syncer of this node's BGP agent must watch."""
    return (
        *(kind_prefix(kind) for kind in _WATCHED_KINDS),
        affinity_prefix(node),
        block_prefix(4),
        block_prefix(6),
    )


@dataclass(slots=True)
class Snapshot:
    """All that BGP decisions of this node are functions of. Only State changes it.

    blocks: those affine to this node; endpoints: those of this node; both by their keys.
    """

    me: NodeName
    nodes: dict[NodeName, Node] = field(default_factory=dict)
    pools: dict[PoolName, IPPool] = field(default_factory=dict)
    configurations: dict[str, BGPConfiguration] = field(default_factory=dict)
    peers: dict[str, BGPPeer] = field(default_factory=dict)
    blocks: dict[IPNetwork, Block] = field(default_factory=dict)
    affinities: dict[IPNetwork, AffinityState] = field(default_factory=dict)
    endpoints: dict[ResourceKey, WorkloadEndpoint] = field(default_factory=dict)
    felix: dict[str, FelixConfiguration] = field(default_factory=dict)
    territory: Owners = field(default_factory=Owners)
    reach_terms: Terms = field(default_factory=Terms)
    floating: bool = False
    """FelixConfiguration floatingIPs: felix leads packets to such addresses on."""

    @property
    def owners(self) -> Mapping[IPNetwork, NodeName]:
        """Every block and every borrowed address -> the node that has it."""
        return self.territory.owner


@dataclass(slots=True)
class Dirty:
    """What must be decided again. own_blocks: ours before and after, who holds their addresses changed;
    everything_learned includes them, also blocks that became ours or ceased to be."""

    peerings: bool = False
    announcements: bool = False
    everything_learned: bool = False
    own_blocks: set[IPNetwork] = field(default_factory=set)
    owners: set[IPNetwork] = field(default_factory=set)
    """Prefixes that another node has now."""

    @property
    def anything(self) -> bool:
        """Something is to be decided."""
        return bool(
            self.peerings
            or self.announcements
            or self.everything_learned
            or self.own_blocks
            or self.owners
        )


class State:
    """The fold. One thread owns it."""

    def __init__(self, me: NodeName, backend: Backend = Backend.BGP) -> None:
        self.snapshot = Snapshot(me, reach_terms=Terms(backend))
        self.store: StoreState = NOT_YET
        self.invalid: dict[Key, str] = {}
        """Objects that count as absent, with the reason."""
        self._dirty = Dirty(peerings=True, announcements=True, everything_learned=True)

    def take_dirty(self) -> Dirty:
        """What has become dirty since the last call; the first time everything."""
        taken, self._dirty = self._dirty, Dirty()
        return taken

    def all_dirty(self) -> None:
        """Everything is to be decided again."""
        self._dirty = Dirty(peerings=True, announcements=True, everything_learned=True)

    def fold(self, items: Mapping[Key | StoreStateKey, Change | StoreState]) -> None:
        """Take in what the mailbox held."""
        for key, item in items.items():
            if isinstance(item, StoreState):
                self.store = item
            elif not isinstance(key, StoreStateKey):
                self._fold_one(key, item)

    def _fold_one(self, key: Key, change: Change) -> None:
        if change.invalid is None:
            self.invalid.pop(key, None)
        elif self._concerns_us(key):
            self.invalid[key] = change.invalid.reason
        value = None if change.stored is None else change.stored.value
        if isinstance(key, ResourceKey):
            self._fold_resource(key, value)
        elif isinstance(key, BlockKey):
            self._fold_owners(key.cidr, value)
            self._fold_block(key.cidr, value if isinstance(value, Block) else None)
        elif isinstance(key, AffinityKey) and key.node == self.snapshot.me and not key.virtual:
            state = value.state if isinstance(value, BlockAffinity) else None
            self._fold_affinity(key.cidr, state)

    def _concerns_us(self, key: Key) -> bool:
        """Every node watches every block; only our own are worth a line in our status."""
        return not isinstance(key, BlockKey) or key.cidr in self.snapshot.affinities

    def _fold_resource(self, key: ResourceKey, value: Value | None) -> None:
        snapshot, dirty = self.snapshot, self._dirty
        match key.kind:
            case Kind.IP_POOL:
                pool = value if isinstance(value, IPPool) else None
                if _put(snapshot.pools, PoolName(key.name), pool):
                    dirty.announcements = dirty.everything_learned = True
            case Kind.BGP_CONFIGURATION:
                configuration = value if isinstance(value, BGPConfiguration) else None
                if _put(snapshot.configurations, key.name, configuration):
                    dirty.peerings = dirty.announcements = dirty.everything_learned = True
                self._settle_terms()
            case Kind.FELIX_CONFIGURATION:
                felix = value if isinstance(value, FelixConfiguration) else None
                _put(snapshot.felix, key.name, felix)
                self._settle_terms()
            case Kind.BGP_PEER:
                peer = value if isinstance(value, BGPPeer) else None
                dirty.peerings |= _put(snapshot.peers, key.name, peer)
            case Kind.NODE:
                self._fold_node(NodeName(key.name), value if isinstance(value, Node) else None)
            case Kind.WORKLOAD_ENDPOINT:
                endpoint = value if isinstance(value, WorkloadEndpoint) else None
                if endpoint is not None and endpoint.node != snapshot.me:
                    endpoint = None
                dirty.announcements |= _put(snapshot.endpoints, key, endpoint)
            case _:
                pass

    def _fold_node(self, name: NodeName, node: Node | None) -> None:
        before = self.snapshot.nodes.get(name)
        _put(self.snapshot.nodes, name, node)
        if _as_bgp_sees(before) == _as_bgp_sees(node):
            return
        self._dirty.peerings = True
        if name == self.snapshot.me:
            self._settle_terms()
        if _origin(before) != _origin(node):
            self._dirty.everything_learned = True

    def _fold_owners(self, cidr: IPNetwork, value: Value | None) -> None:
        holding = value if isinstance(value, Holding) else None
        if isinstance(value, Block):
            holding = holding_of(value)
        self._dirty.owners |= self.snapshot.territory.fold(cidr, holding)

    def _settle_terms(self) -> None:
        """Whether felix writes what BGP learns: other terms concern every route."""
        snapshot = self.snapshot
        mine = snapshot.nodes.get(snapshot.me)
        felix = effective(snapshot.felix, snapshot.me, {} if mine is None else mine.meta.labels)
        before, snapshot.floating = snapshot.floating, felix.floating_ips is True
        self._dirty.announcements |= before != snapshot.floating
        terms = terms_of(snapshot.reach_terms.backend, felix, snapshot.configurations)
        if terms != snapshot.reach_terms:
            snapshot.reach_terms = terms
            self._dirty.everything_learned = True

    def _fold_block(self, cidr: IPNetwork, block: Block | None) -> None:
        if block is not None and block.host != self.snapshot.me:
            block = None
        was_ours = cidr in self.snapshot.blocks
        if not _put(self.snapshot.blocks, cidr, block):
            return
        if was_ours and block is not None:
            self._dirty.own_blocks.add(cidr)
        else:
            self._dirty.announcements = self._dirty.everything_learned = True

    def _fold_affinity(self, cidr: IPNetwork, state: AffinityState | None) -> None:
        if _put(self.snapshot.affinities, cidr, state):
            self._dirty.announcements = True


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _put(where: dict[K, V], key: K, value: V | None) -> bool:
    """Set or remove; True when that changed something."""
    if value is None:
        return where.pop(key, None) is not None
    if where.get(key) == value:
        return False
    where[key] = value
    return True


def _as_bgp_sees(node: Node | None) -> tuple[object, ...] | None:
    if node is None:
        return None
    return (
        node.ipv4_address,
        node.ipv6_address,
        node.as_number,
        node.route_reflector_cluster_id,
        dict(node.meta.labels),
        _tunnels(node),
    )


def _origin(node: Node | None) -> tuple[object, ...] | None:
    """By what a path is recognised as this node's, and what decides how it is reached."""
    if node is None:
        return None
    return (node.ipv4_address, node.ipv6_address, node.as_number, _tunnels(node))


def _tunnels(node: Node) -> tuple[object, ...]:
    return (
        node.ipv4_ipip_tunnel_address,
        node.ipv4_vxlan_tunnel_address,
        node.ipv6_vxlan_tunnel_address,
    )
