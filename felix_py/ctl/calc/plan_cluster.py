"""Pure: the cluster as a plan looks at it, before a change and after it, and one node's view of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from felix_py.datastore.calc.reachability import Backend, Terms, terms_of
from felix_py.datastore.felix_configuration import FelixConfiguration, effective
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    IPAddress,
    IPNetwork,
    IPPool,
    Kind,
    Node,
    NodeName,
    PoolName,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from felix_py.datastore.territory import Holding
from felix_py.datastore.values import Value
from ipam.pool import containing
from ipam.tunnels import TunnelKind, published, wanted_pools

Changes = Mapping[ResourceKey, Value | None]
"""What objects become; None: they are deleted."""

PLANNED = frozenset(
    {
        Kind.IP_POOL,
        Kind.NODE,
        Kind.BGP_CONFIGURATION,
        Kind.BGP_PEER,
        Kind.FELIX_CONFIGURATION,
    }
)
"""Kinds whose changes reach beyond the object itself."""

N = TypeVar("N")
V = TypeVar("V")


@dataclass(frozen=True)
class Cluster:
    """Everything at one revision.

    namespaces: their labels, as namespaceSelectors see them. endpoints, blocks, affinities: by node.
    backends: of nodes that said so; the others run BGP.
    """

    pools: Mapping[PoolName, IPPool] = field(default_factory=dict)
    nodes: Mapping[NodeName, Node] = field(default_factory=dict)
    configurations: Mapping[str, BGPConfiguration] = field(default_factory=dict)
    peers: Mapping[str, BGPPeer] = field(default_factory=dict)
    felix: Mapping[str, FelixConfiguration] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    endpoints: Mapping[NodeName, Mapping[ResourceKey, WorkloadEndpoint]] = field(
        default_factory=dict
    )
    blocks: Mapping[NodeName, Mapping[IPNetwork, Holding]] = field(default_factory=dict)
    affinities: Mapping[NodeName, Mapping[IPNetwork, AffinityState]] = field(default_factory=dict)
    backends: Mapping[NodeName, Backend] = field(default_factory=dict)

    def changed(self, changes: Changes) -> Cluster:
        """The cluster after these changes."""
        return replace(
            self,
            pools=_merged(self.pools, changes, IPPool, PoolName),
            nodes=_merged(self.nodes, changes, Node, NodeName),
            configurations=_merged(self.configurations, changes, BGPConfiguration, str),
            peers=_merged(self.peers, changes, BGPPeer, str),
            felix=_merged(self.felix, changes, FelixConfiguration, str),
        )

    def same_as(self, other: Cluster, *parts: str) -> bool:
        """No object of these parts was changed between the two."""
        return all(getattr(self, part) is getattr(other, part) for part in parts)

    @cached_property
    def felix_of(self) -> Mapping[NodeName, FelixConfiguration]:
        """By node what felix is told there."""
        return {
            name: effective(self.felix, name, node.meta.labels) for name, node in self.nodes.items()
        }

    @cached_property
    def tunnels(self) -> Mapping[NodeName, Mapping[TunnelKind, IPAddress]]:
        """By node and kind of tunnel the address that it uses in the end: the one it has, or some
        address of the pool it is to be taken from."""
        return {name: _wanted_tunnels(self, node) for name, node in self.nodes.items()}

    def backend(self, node: NodeName) -> Backend:
        """Where a node's routes come from."""
        return self.backends.get(node, Backend.BGP)

    def terms(self, node: NodeName) -> Terms:
        """What holds for all the ways of a node."""
        return terms_of(self.backend(node), self.felix_of[node], self.configurations)


@dataclass(frozen=True, slots=True)
class Seat:
    """The cluster as the daemons of one node see it: what bgp's decisions are functions of."""

    me: NodeName
    cluster: Cluster
    configurations: Mapping[str, BGPConfiguration]

    @classmethod
    def of(cls, me: NodeName, cluster: Cluster) -> Seat:
        """A node's."""
        return cls(me, cluster, cluster.configurations)

    @property
    def nodes(self) -> Mapping[NodeName, Node]:
        """Every node."""
        return self.cluster.nodes

    @property
    def peers(self) -> Mapping[str, BGPPeer]:
        """Every BGPPeer."""
        return self.cluster.peers

    @property
    def pools(self) -> Mapping[PoolName, IPPool]:
        """Every pool."""
        return self.cluster.pools

    @property
    def blocks(self) -> Mapping[IPNetwork, Holding]:
        """Blocks affine to the node."""
        return self.cluster.blocks.get(self.me, {})

    @property
    def affinities(self) -> Mapping[IPNetwork, AffinityState]:
        """The node's affinity keys."""
        return self.cluster.affinities.get(self.me, {})

    @property
    def endpoints(self) -> Mapping[ResourceKey, WorkloadEndpoint]:
        """The node's endpoints."""
        return self.cluster.endpoints.get(self.me, {})

    @property
    def floating(self) -> bool:
        """Floating addresses are served there."""
        return self.cluster.felix_of[self.me].floating_ips is True


_KINDS: Mapping[type, Kind] = {
    IPPool: Kind.IP_POOL,
    Node: Kind.NODE,
    BGPConfiguration: Kind.BGP_CONFIGURATION,
    BGPPeer: Kind.BGP_PEER,
    FelixConfiguration: Kind.FELIX_CONFIGURATION,
}


def _merged(
    known: Mapping[N, V], changes: Changes, kind: type[V], name: Callable[[str], N]
) -> Mapping[N, V]:
    """The objects of a kind after the changes; the very same mapping when none is of this kind."""
    wanted = {key: value for key, value in changes.items() if key.kind is _KINDS[kind]}
    if not wanted:
        return known
    merged = dict(known)
    for key, value in wanted.items():
        called = name(key.name)
        if isinstance(value, kind):
            merged[called] = value
        else:
            merged.pop(called, None)
    return merged


def _wanted_tunnels(cluster: Cluster, node: Node) -> dict[TunnelKind, IPAddress]:
    felix = cluster.felix_of[node.name]
    found: dict[TunnelKind, IPAddress] = {}
    for kind in TunnelKind:
        pools = wanted_pools(kind, cluster.pools.values(), node, felix)
        shown = published(kind, node)
        if pools:
            stays = shown is not None and containing(shown, pools) is not None
            found[kind] = shown if stays and shown is not None else pools[0].cidr.network_address
    return found
