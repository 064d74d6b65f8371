"""Pure: how nodes reach one another, by pair, before and after: encapsulation counted, not listed.

What `reach` says of a pair follows from few things: whether each one's prefix holds the other's address,
which tunnels each has, its terms. Nodes that share them are a class, and a class has one answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.ctl.calc.plan_effect import Effect, Weight, effects_of
from felix_py.datastore.calc.reachability import Terms, Way, Writer, address_of, reach
from felix_py.datastore.model import IPNetwork, IPPool, Node, NodeName, PoolName
from ipam.tunnels import TunnelKind

TOPIC = "ways"
Answer = tuple[Way, Writer]


@dataclass(frozen=True, slots=True)
class Place:
    """What the ways from and to a node follow from. inside: the prefixes of nodes that hold its address.

    network: its own prefix, where that holds the address of another node, too.
    """

    reachable: bool
    network: IPNetwork | None
    inside: frozenset[IPNetwork]
    tunnels: tuple[bool, bool]
    terms: Terms


def ways(before: Cluster, after: Cluster) -> list[Effect]:
    """By pool how many pairs of nodes go another way."""
    if before.same_as(after, "pools", "nodes", "felix", "configurations"):
        return []
    lost: Counter[str] = Counter()
    changed: Counter[tuple[PoolName, Way, Way]] = Counter()
    handed: Counter[tuple[PoolName, Writer]] = Counter()
    for version in (4, 6):
        pools = [
            (pool, after.pools[name])
            for name, pool in before.pools.items()
            if name in after.pools and pool.cidr.version == version
        ]
        for pool, was, now, pairs in _moves(before, after, pools, version):
            if now[0] is Way.NONE:
                lost[pool] += pairs
            elif was[0] is not now[0]:
                changed[pool, was[0], now[0]] += pairs
            else:
                handed[pool, now[1]] += pairs
    return [*_told_lost(lost), *_told_changed(changed), *_told_handed(handed)]


def _told_lost(lost: Mapping[str, int]) -> list[Effect]:
    effects: list[Effect] = []
    for pool, pairs in sorted(lost.items()):
        text = f"pairs of nodes do not reach one another's pods of pool {pool} any more"
        effects += effects_of(TOPIC, Weight.LOSS, text, (), pairs)
    return effects


def _told_changed(changed: Mapping[tuple[PoolName, Way, Way], int]) -> list[Effect]:
    effects: list[Effect] = []
    ordered = sorted(changed.items(), key=lambda item: [str(part) for part in item[0]])
    for (pool, was, now), pairs in ordered:
        text = f"pairs of nodes: pool {pool} goes {_spoken(now)}, not {_spoken(was)}"
        effects += effects_of(TOPIC, Weight.CHANGE, text, (), pairs)
    return effects


def _told_handed(handed: Mapping[tuple[PoolName, Writer], int]) -> list[Effect]:
    effects: list[Effect] = []
    for (pool, writer), pairs in sorted(handed.items(), key=lambda item: item[0][0]):
        text = f"pairs of nodes: {writer.value} writes the routes of pool {pool}"
        effects += effects_of(TOPIC, Weight.CHANGE, text, (), pairs)
    return effects


def _spoken(way: Way) -> str:
    return {Way.DIRECT: "direct", Way.NONE: "nowhere"}.get(way, f"by {way.value}")


def _moves(
    before: Cluster, after: Cluster, pools: list[tuple[IPPool, IPPool]], version: int
) -> Iterable[tuple[PoolName, Answer, Answer, int]]:
    """(pool, answer before, answer after, pairs of nodes) wherever they differ."""
    if not pools:
        return
    old, new = _Chart(before, version), _Chart(after, version)
    common = [name for name in old.places if name in new.places]
    sizes = Counter((old.places[name], new.places[name]) for name in common)
    classes = list(sizes)
    kinds: dict[tuple[object, ...], list[tuple[IPPool, IPPool]]] = defaultdict(list)
    for was, now in pools:
        kinds[was.ipip_mode, was.vxlan_mode, now.ipip_mode, now.vxlan_mode].append((was, now))
    for alike in kinds.values():
        was, now = alike[0]
        for index, one in enumerate(classes):
            for other in classes[index:]:
                pairs = sizes[one] * sizes[other]
                if one is other:
                    pairs = sizes[one] * (sizes[one] - 1) // 2
                if not pairs:
                    continue
                there = old.answer(one[0], other[0], was), new.answer(one[1], other[1], now)
                back = old.answer(other[0], one[0], was), new.answer(other[1], one[1], now)
                for first, second in {there, back}:
                    if first != second:
                        yield from ((pool.name, first, second, pairs) for pool, _ in alike)


class _Chart:
    """Where every node of a cluster stands, for one IP version, and what `reach` says of two places."""

    def __init__(self, cluster: Cluster, version: int) -> None:
        self._version = version
        self._settled = {name: _settled(node, cluster) for name, node in cluster.nodes.items()}
        self._shared = _Prefixes(self._settled.values(), version)
        self.places: dict[NodeName, Place] = {}
        self._at: dict[Place, list[Node]] = {}
        self._known: dict[tuple[object, ...], Answer] = {}
        for name, node in self._settled.items():
            place = self._place(node, cluster.terms(name))
            self.places[name] = place
            examples = self._at.setdefault(place, [])
            if len(examples) < 2:
                examples.append(node)

    def answer(self, one: Place, other: Place, pool: IPPool) -> Answer:
        """How a node of the first place reaches one of the second; two of the same place differ."""
        here = one.network is not None and one.network in other.inside
        there = other.network is not None and other.network in one.inside
        modes = pool.ipip_mode, pool.vxlan_mode
        ends = one.reachable, other.reachable, one.tunnels, other.tunnels, one.terms
        key = (here, there, *ends, *modes)
        found = self._known.get(key)
        if found is None:
            near, far = self._at[one][0], self._at[other][-1]
            said = reach(near, far, pool, one.terms)
            found = self._known[key] = (said.way, said.writer)
        return found

    def _place(self, node: Node, terms: Terms) -> Place:
        interface = address_of(node, self._version)
        if interface is None:
            return Place(False, None, frozenset(), (False, False), terms)
        vxlan = (
            node.ipv4_vxlan_tunnel_address
            if self._version == 4
            else (node.ipv6_vxlan_tunnel_address)
        )
        ipip = node.ipv4_ipip_tunnel_address if self._version == 4 else None
        network = interface.network
        return Place(
            reachable=True,
            network=network if self._shared.several(network) else None,
            inside=self._shared.around(int(interface.ip)),
            tunnels=(ipip is not None, vxlan is not None),
            terms=terms,
        )


class _Prefixes:
    """The nodes' prefixes: which of them hold several nodes, which of them hold an address."""

    def __init__(self, nodes: Iterable[Node], version: int) -> None:
        found = [i for node in nodes if (i := address_of(node, version)) is not None]
        self._bits = 32 if version == 4 else 128
        self._networks = {(i.network.prefixlen, int(i.network.network_address)) for i in found}
        self._by_number = {
            (i.network.prefixlen, int(i.network.network_address)): i.network for i in found
        }
        self._lengths = sorted({length for length, _ in self._networks})
        self._held: Counter[IPNetwork] = Counter(
            network for i in found for network in self._holding(int(i.ip))
        )

    def several(self, network: IPNetwork) -> bool:
        """Two nodes or more have an address in there."""
        return self._held[network] > 1

    def around(self, address: int) -> frozenset[IPNetwork]:
        """Those of the prefixes with several nodes that hold it."""
        return frozenset(each for each in self._holding(address) if self.several(each))

    def _holding(self, address: int) -> list[IPNetwork]:
        masked = (
            (length, address >> (self._bits - length) << (self._bits - length))
            for length in self._lengths
        )
        return [self._by_number[key] for key in masked if key in self._by_number]


def _settled(node: Node, cluster: Cluster) -> Node:
    """The node once IPAM and felix did what pools ask for: with the tunnels that are wanted alone."""
    wanted = cluster.tunnels[node.name]
    ipip, vxlan, vxlan6 = (
        wanted.get(kind) for kind in (TunnelKind.IPIP, TunnelKind.VXLAN, TunnelKind.VXLAN_V6)
    )
    ends = (
        ipip if isinstance(ipip, IPv4Address) else None,
        vxlan if isinstance(vxlan, IPv4Address) else None,
        vxlan6 if isinstance(vxlan6, IPv6Address) else None,
    )
    if ends == (
        node.ipv4_ipip_tunnel_address,
        node.ipv4_vxlan_tunnel_address,
        node.ipv6_vxlan_tunnel_address,
    ):
        return node
    return replace(
        node,
        ipv4_ipip_tunnel_address=ends[0],
        ipv4_vxlan_tunnel_address=ends[1],
        ipv6_vxlan_tunnel_address=ends[2],
    )
