"""What the doctor judges: etcd, and of each node that could be looked at its kernel and its probes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import msgspec

from felix_py.agent.calc import mtu
from felix_py.agent.calc.mtu import OVERHEAD, Encapsulation, Mtu
from felix_py.ctl.calc.facts import HopFact, LinkFact, NodeFacts, decode, encode
from felix_py.ctl.calc.world import World
from felix_py.datastore.calc.reachability import Backend, Way, address_of, reach, terms_of
from felix_py.datastore.felix_configuration import effective
from felix_py.datastore.model import IPAddress, Node, NodeName
from felix_py.kernel.model import Link


class Problem(Enum):
    """What a finding is about."""

    ADDRESS = "node-address"
    ASYMMETRIC = "asymmetric"
    CONNTRACK = "conntrack"
    DUPLICATE = "duplicate-address"
    ECMP = "ecmp-hash"
    FORWARDING = "forwarding"
    MTU = "mtu"
    NEIGHBOURS = "neighbours"
    NO_ANSWER = "no-answer"
    PATH_MTU = "path-mtu"
    PREFIX_LENGTH = "prefix-length"
    PREFIXES = "prefixes-disagree"
    RP_FILTER = "rp-filter"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found on a node, or between it and another. wrong False: advice, nothing is lost."""

    problem: Problem
    node: NodeName
    what: str
    evidence: str
    change: str
    other: NodeName | None = None
    wrong: bool = True


class ProbeFact(msgspec.Struct, frozen=True, rename="camel"):
    """Echo requests to another node's address that nobody may fragment; sizes are of IP packets.

    wanted: the largest that pods' traffic makes on the wire; fits: the largest that was answered, 0:
    none. ttl: of the answer; arrived: the link it came by. limit: what somebody said fits (0: nobody
    did), limited_by: who; empty: this node's own link. error: why it could not be sent.
    """

    node: str
    address: str
    wanted: int
    fits: int = 0
    ttl: int | None = None
    arrived: str = ""
    limit: int | None = None
    limited_by: str = ""
    error: str = ""


class Examination(msgspec.Struct, frozen=True, rename="camel"):
    """Everything seen of one node. claimed: own address -> MACs of others that answer for it;
    neighbours: entries in the kernel's tables, by `ipv4`, `ipv6`."""

    facts: NodeFacts
    probes: tuple[ProbeFact, ...] = ()
    claimed: Mapping[str, tuple[str, ...]] = {}
    neighbours: Mapping[str, int] = {}

    @property
    def node(self) -> NodeName:
        """The node's name."""
        return NodeName(self.facts.node)

    def hops_to(self, address: IPAddress) -> tuple[HopFact, ...]:
        """The next hops of the route to an address; empty: no route, or none was looked up."""
        found = self.facts.lookup(address)
        route = None if found is None else found.route
        return route.hops if route is not None and route.kind == "unicast" else ()

    def probe_of(self, node: NodeName, version: int) -> ProbeFact | None:
        """The probe to another node."""
        colon = version == 6
        return next(
            (p for p in self.probes if p.node == node and (":" in p.address) == colon), None
        )


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    facts: msgspec.Raw
    probes: tuple[ProbeFact, ...] = ()
    claimed: Mapping[str, tuple[str, ...]] = {}
    neighbours: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Checkup:
    """The cluster as far as it was seen; `unseen`: nodes that could not be looked at, and why."""

    world: World
    seen: Mapping[NodeName, Examination] = field(default_factory=dict)
    unseen: Mapping[NodeName, str] = field(default_factory=dict)

    def others(self, me: NodeName) -> Iterator[Node]:
        """Every other node, by name."""
        return (self.world.nodes[name] for name in sorted(self.world.nodes) if name != me)


@dataclass(frozen=True, slots=True)
class Target:
    """What to probe: the largest packet that this node sends to another for its pods."""

    node: NodeName
    address: IPAddress
    size: int


def targets(world: World, me: NodeName, found: Mtu, backend: Backend) -> list[Target]:
    """One for each address of each other node that this node's pods' packets are sent to."""
    mine = world.nodes.get(me)
    if mine is None:
        return []
    made = []
    for name in sorted(world.nodes.keys() - {me}):
        for version in (4, 6):
            far = address_of(world.nodes[name], version)
            if far is None or address_of(mine, version) is None:
                continue
            ways = ways_between(world, mine, world.nodes[name], version, backend)
            sizes = [found.pod + _overhead(way, version) for way in ways if way is not Way.NONE]
            made.append(Target(name, far.ip, max(sizes, default=found.pod)))
    return made


def ways_between(
    world: World, me: Node, other: Node, version: int, backend: Backend
) -> frozenset[Way]:
    """Every way that a pool of this IP version asks for; tunnels count before they are published."""
    own = effective(world.felix, me.name, me.meta.labels)
    terms = terms_of(backend, own, world.bgp)
    return frozenset(
        reach(_published(me), _published(other), pool, terms).way
        for pool in world.pools
        if pool.cidr.version == version
    )


def mtu_of(world: World, me: NodeName, links: Iterable[LinkFact]) -> Mtu:
    """What felix decides with these links."""
    node = world.nodes.get(me)
    own = effective(world.felix, me, {} if node is None else node.meta.labels)
    plain = [Link(link.index, link.name, link.kind, mtu=link.mtu, up=link.up) for link in links]
    return mtu.decide(plain, world.pools, own)


def to_json(examination: Examination) -> bytes:
    """As another node's doctor reads it."""
    return msgspec.json.encode(
        _Document(
            msgspec.Raw(encode(examination.facts)),
            examination.probes,
            examination.claimed,
            examination.neighbours,
        )
    )


def from_json(text: bytes) -> Examination:
    """The reverse. Raises ValueError."""
    found = msgspec.json.decode(text, type=_Document)
    return Examination(decode(bytes(found.facts)), found.probes, found.claimed, found.neighbours)


def _published(node: Node) -> Node:
    """The node as it will be when all its tunnels stand."""
    four = None if node.ipv4_address is None else node.ipv4_address.ip
    six = None if node.ipv6_address is None else node.ipv6_address.ip
    return replace(
        node,
        ipv4_ipip_tunnel_address=four,
        ipv4_vxlan_tunnel_address=four,
        ipv6_vxlan_tunnel_address=six,
    )


def _overhead(way: Way, version: int) -> int:
    if way is Way.IPIP:
        return OVERHEAD[Encapsulation.IPIP]
    if way is Way.VXLAN:
        return OVERHEAD[Encapsulation.VXLAN if version == 4 else Encapsulation.VXLAN6]
    return 0
