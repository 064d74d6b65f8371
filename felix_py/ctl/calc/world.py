"""What explain judges: etcd at one revision, and of the nodes concerned what was seen of their kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from felix_py.ctl.calc.facts import NodeFacts, ToldFact
from felix_py.ctl.findings import mapping, mappings
from felix_py.datastore.calc.pools import pool_for
from felix_py.datastore.calc.reachability import Backend, Reach, Terms, reach, terms_of
from felix_py.datastore.felix_configuration import FelixConfiguration, effective
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    Block,
    IPAddress,
    IPNetwork,
    IPPool,
    Node,
    NodeName,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration

Documents = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class End:
    """One end of the way. claims: every endpoint that names the address, ours first.

    node: where the address is; None for one outside the cluster. of_node: it is the node's own
    address (or its tunnel's), not a pod's.
    """

    address: IPAddress
    title: str
    endpoint: WorkloadEndpoint | None = None
    claims: tuple[ResourceKey, ...] = ()
    node: NodeName | None = None
    of_node: bool = False
    pool: IPPool | None = None
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One node: its object, what was seen of its kernel (None: nothing, `unseen` says why), and what
    its daemons said of themselves: their files if it was seen, else what they published."""

    name: NodeName
    node: Node | None = None
    facts: NodeFacts | None = None
    published: Documents = field(default_factory=dict)
    unseen: str = ""
    terms: Terms = field(default_factory=Terms)

    def status(self, daemon: str) -> Mapping[str, Any]:
        """A daemon's document; empty when nothing is known."""
        seen = None if self.facts is None else self.facts.daemons.get(daemon)
        return seen.status if seen is not None and seen.status else self.published.get(daemon, {})

    def stopped(self, daemon: str) -> bool:
        """The daemon is known not to run."""
        seen = None if self.facts is None else self.facts.daemons.get(daemon)
        return seen is not None and not seen.running

    def sessions(self) -> list[Mapping[str, Any]]:
        """The BGP agent's sessions."""
        return list(mappings(self.status("bgp").get("sessions")))

    def manager(self, name: str) -> Mapping[str, Any]:
        """What a manager of felix reports."""
        return mapping(self.status("felix").get(name))

    def told(self, address: IPAddress) -> tuple[ToldFact, ...] | None:
        """Which peers told of an address; None: not known."""
        if self.facts is None or self.facts.told is None:
            return None
        return tuple(path for path in self.facts.told if path.about == address)


@dataclass(frozen=True, slots=True)
class World:
    """Everything. `blocks`: those that hold an end's address; `invalid`: key -> reason."""

    pools: tuple[IPPool, ...] = ()
    nodes: Mapping[NodeName, Node] = field(default_factory=dict)
    endpoints: Mapping[ResourceKey, WorkloadEndpoint] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    affinities: Mapping[tuple[NodeName, IPNetwork], AffinityState] = field(default_factory=dict)
    felix: Mapping[str, FelixConfiguration] = field(default_factory=dict)
    bgp: Mapping[str, BGPConfiguration] = field(default_factory=dict)
    invalid: Mapping[str, str] = field(default_factory=dict)
    statuses: Mapping[NodeName, Documents] = field(default_factory=dict)
    facts: Mapping[NodeName, NodeFacts] = field(default_factory=dict)
    unseen: Mapping[NodeName, str] = field(default_factory=dict)

    def side(self, name: NodeName) -> Side:
        """One node as it is known here."""
        node, facts = self.nodes.get(name), self.facts.get(name)
        labels = {} if node is None else node.meta.labels
        backend = Backend(facts.backend) if facts is not None else Backend.BGP
        terms = terms_of(backend, effective(self.felix, name, labels), self.bgp)
        return Side(
            name, node, facts, self.statuses.get(name, {}), self.unseen.get(name, ""), terms
        )

    def reach(self, near: Side, end: End) -> Reach | None:
        """How a node should reach an end on another node; None when etcd lacks what decides it."""
        other = None if end.node is None else self.nodes.get(end.node)
        if near.node is None or other is None or end.pool is None:
            return None
        return reach(near.node, other, end.pool, near.terms)

    def end(self, address: IPAddress, chosen: ResourceKey | None = None) -> End:
        """The end that an address is; `chosen`: the endpoint that was asked for by name."""
        claims = sorted(
            (k for k, e in self.endpoints.items() if ip_network(address) in e.networks),
            key=lambda key: (key != chosen, key.path),
        )
        pool = pool_for(address, self.pools)
        block = next((b for b in self.blocks if address in b.cidr), None)
        if claims:
            endpoint = self.endpoints[claims[0]]
            return End(
                address,
                f"{title(claims[0], endpoint)} {address}",
                endpoint,
                tuple(claims),
                endpoint.node,
                pool=pool,
                block=block,
            )
        owner = next((n for n in self.nodes.values() if address in addresses_of(n)), None)
        if owner is not None:
            text = f"{owner.name} {address}"
            return End(address, text, node=owner.name, of_node=True, pool=pool, block=block)
        host = None if block is None else block.host
        return End(address, str(address), node=host, pool=pool, block=block)


def addresses_of(node: Node) -> tuple[IPAddress, ...]:
    """Every address that a Node object names as the node's own."""
    interfaces = (node.ipv4_address, node.ipv6_address)
    tunnels = (
        node.ipv4_ipip_tunnel_address,
        node.ipv4_vxlan_tunnel_address,
        node.ipv6_vxlan_tunnel_address,
    )
    return tuple(
        address
        for address in (*(i.ip if i is not None else None for i in interfaces), *tunnels)
        if address is not None
    )


def title(key: ResourceKey, endpoint: WorkloadEndpoint) -> str:
    """A pod as people name it."""
    return f"{key.namespace}/{endpoint.pod or endpoint.workload or endpoint.container_id[:12]}"
