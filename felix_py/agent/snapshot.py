"""What felix knows right now: frozen values that the decisions in calc/ take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from felix_py.agent.survivors import Survivor
from felix_py.datastore.calc.reachability import Terms
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    Block,
    IPAddress,
    IPNetwork,
    IPPool,
    Node,
    NodeName,
    PoolName,
    Stored,
    WorkloadEndpoint,
)
from felix_py.kernel.model import Link


@dataclass(frozen=True, slots=True)
class Claim:
    """A local endpoint as one that claims addresses; `create_revision` is its age."""

    key: ResourceKey
    endpoint: WorkloadEndpoint
    create_revision: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the decisions look at. Mappings are read only by agreement.

    claims: who claims an address (/32, /128); interfaces: which endpoints name a host link;
    blocks: those that name this node; affinities: this node's; nodes: all, this one included;
    links: this host's, by name; survivors: pods that live here without an endpoint in etcd, by address.
    owners: every block and every address held by another than its block's node -> node.
    tunnel_addresses: the ones this node's devices should carry, of those that IPAM gave it,
        by type (territory.TUNNEL_TYPES).
    uplinks: by IP version the index of the link that carries this node's own address.
    """

    me: NodeName
    claims: Mapping[IPNetwork, Mapping[ResourceKey, Claim]] = field(default_factory=dict)
    interfaces: Mapping[str, Mapping[ResourceKey, Claim]] = field(default_factory=dict)
    blocks: Mapping[IPNetwork, Block] = field(default_factory=dict)
    affinities: Mapping[IPNetwork, AffinityState] = field(default_factory=dict)
    pools: Mapping[PoolName, IPPool] = field(default_factory=dict)
    nodes: Mapping[NodeName, Stored[Node]] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    survivors: Mapping[IPNetwork, Survivor] = field(default_factory=dict)
    owners: Mapping[IPNetwork, NodeName] = field(default_factory=dict)
    tunnel_addresses: Mapping[str, IPAddress] = field(default_factory=dict)
    uplinks: Mapping[int, int] = field(default_factory=dict)
    configuration: FelixConfiguration = field(default_factory=FelixConfiguration)
    terms: Terms = field(default_factory=Terms)

    @property
    def own_node(self) -> Node | None:
        """This node's object in etcd."""
        mine = self.nodes.get(self.me)
        return None if mine is None else mine.value


@dataclass(frozen=True, slots=True)
class Dirty:
    """What may have changed since the last look; `everything` outweighs the rest.

    nodes: some Node, pool or configuration is another; links: the host's links or addresses are.
    remotes: prefixes whose way to another node may be another; all_remotes: of every prefix.
    """

    everything: bool = False
    addresses: frozenset[IPNetwork] = frozenset()
    blocks: frozenset[IPNetwork] = frozenset()
    interfaces: frozenset[str] = frozenset()
    nodes: bool = False
    links: bool = False
    remotes: frozenset[IPNetwork] = frozenset()
    all_remotes: bool = False

    @property
    def any(self) -> bool:
        """True when something is to be decided again."""
        return bool(
            self.everything
            or self.addresses
            or self.blocks
            or self.interfaces
            or self.nodes
            or self.links
            or self.remotes
            or self.all_remotes
        )
