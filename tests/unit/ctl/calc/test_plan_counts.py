"""What a plan counts by classes is what counting one by one gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Interface, ip_network
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from bgp.calc.peerings import sessions as sessions_of
from bgp.model import IPAddress, Peering
from felix_py.ctl.calc.plan_cluster import Cluster, Seat
from felix_py.ctl.calc.plan_effect import Weight
from felix_py.ctl.calc.plan_mesh import Pair, Tally, pair_of
from felix_py.ctl.calc.plan_pools import PoolIndex, Serving
from felix_py.ctl.calc.plan_sessions import sessions
from felix_py.ctl.calc.plan_ways import _settled, ways
from felix_py.datastore.calc.pools import pool_for
from felix_py.datastore.calc.reachability import Way, reach
from felix_py.datastore.model import (
    AsNumber,
    AssignmentMode,
    EncapMode,
    IPPool,
    Metadata,
    Node,
    NodeName,
    PoolName,
    PoolUse,
)
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from ipam.errors import NoQualifiedPool
from ipam.pool import Ask, qualifying
from tests.support.bgp_cluster import bgp_peer, node, pool

NUMBERS = st.integers(1, 6)


@st.composite
def nodes(draw: st.DrawFn) -> dict[NodeName, Node]:
    found = {}
    for number in draw(st.sets(NUMBERS, max_size=5)):
        subnet, length = draw(st.sampled_from([(0, 16), (1, 24), (2, 24), (1, 32), (2, 16)]))
        made = node(
            f"n{number}",
            draw(st.sampled_from([f"10.0.{subnet}.{number}/{length}", None])),
            asn=draw(st.sampled_from([None, 64512, 65001])),
            labels={"rack": draw(st.sampled_from("ab"))},
            route_reflector_cluster_id=draw(st.sampled_from(["", "", "", "1.1.1.1"])),
        )
        if made.ipv4_address is not None and draw(st.booleans()):
            made = replace(made, ipv6_address=IPv6Interface(f"fd00::{number}/64"))
        found[made.name] = made
    return found


@st.composite
def peers(draw: st.DrawFn) -> dict[str, BGPPeer]:
    kinds = [
        bgp_peer("tor", peer_ip="192.0.2.1", as_number=65000, node_selector="rack == 'a'"),
        bgp_peer("all", peer_ip="192.0.2.1", as_number=65009),
        bgp_peer("pairs", peer_selector="rack == 'b'", node_selector="rack == 'a'"),
        bgp_peer("back", peer_selector="all()", node=NodeName("n2"), ttl_security=1),
        bgp_peer("same", peer_selector="all()", node_selector="all()"),
        bgp_peer("one", peer_ip="10.0.1.3", node=NodeName("n1")),
    ]
    named = {each.meta.name: each for each in kinds}
    return {name: named[name] for name in draw(st.sets(st.sampled_from(sorted(named))))}


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, BGPConfiguration]:
    default = BGPConfiguration(
        Metadata("default"),
        mesh_enabled=draw(st.sampled_from([None, True, False])),
        as_number=draw(st.sampled_from([None, AsNumber(64513)])),
        mesh_max_restart_seconds=draw(st.sampled_from([None, 60])),
    )
    own = BGPConfiguration(Metadata("node.n1"), listen_port=draw(st.sampled_from([179, 1790])))
    found = {"default": default, "node.n1": own}
    return {name: found[name] for name in draw(st.sets(st.sampled_from(sorted(found))))}


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    return Cluster(nodes=draw(nodes()), peers=draw(peers()), configurations=draw(configurations()))


def listed(cluster: Cluster) -> dict[Pair, dict[IPAddress, Peering]]:
    """Every session end, decided node by node."""
    found: dict[Pair, dict[IPAddress, Peering]] = {}
    for name in cluster.nodes:
        for peering in sessions_of(Seat.of(name, cluster), {}, 20_000).peerings:
            pair = pair_of(peering.local, peering.peer)
            found.setdefault(pair, {})[peering.local] = replace(peering, source="")
    return found


@settings(max_examples=100)
@given(clusters(), clusters())
def test_sessions_are_counted_as_each_node_decides_them(before: Cluster, after: Cluster) -> None:
    old, new = listed(before), listed(after)
    expected = Tally()
    for pair in old.keys() | new.keys():
        expected.note(old.get(pair), new.get(pair))
    told = {effect.text: effect.count for effect in sessions(before, after)}
    assert told.get("sessions come up", 0) == expected.added
    assert told.get("sessions go down and do not come back", 0) == expected.removed
    assert told.get("sessions are reset", 0) == expected.reset
    assert told.get("sessions stay up", 0) == expected.kept
    alone = {
        name
        for name in after.nodes
        if name in before.nodes and _sessions(name, before) and not _sessions(name, after)
    }
    losses = [each for each in sessions(before, after) if each.weight is Weight.LOSS]
    assert {name for each in losses for name in each.examples} == alone


def _sessions(name: NodeName, cluster: Cluster) -> int:
    return len(sessions_of(Seat.of(name, cluster), {}, 20_000).peerings)


MODES = st.sampled_from(EncapMode)


@st.composite
def pools(draw: st.DrawFn) -> dict[str, IPPool]:
    found = {}
    for name, cidr in (("one", "10.244.0.0/16"), ("six", "fd00:10::/64")):
        ipip, vxlan = draw(MODES), draw(MODES)
        if vxlan is not EncapMode.NEVER or ":" in cidr:
            ipip = EncapMode.NEVER
        selector = draw(st.sampled_from(["all()", "rack == 'a'"]))
        found[name] = pool(name, cidr, ipip_mode=ipip, vxlan_mode=vxlan, node_selector=selector)
    return found


@settings(max_examples=100)
@given(nodes(), nodes(), pools(), pools())
def test_ways_are_counted_as_reach_says_pair_by_pair(
    old: dict[NodeName, Node],
    new: dict[NodeName, Node],
    was: dict[str, IPPool],
    now: dict[str, IPPool],
) -> None:
    before = Cluster(nodes=old, pools=was)  # type: ignore[arg-type]
    after = Cluster(nodes=new, pools=now)  # type: ignore[arg-type]
    expected: Counter[str] = Counter()
    for one, other in combinations(sorted(old.keys() & new.keys()), 2):
        for name in was:
            texts = set()
            for me, them in ((one, other), (other, one)):
                first, second = (
                    reach(
                        _settled(cluster.nodes[me], cluster),
                        _settled(cluster.nodes[them], cluster),
                        found[name],
                        cluster.terms(me),
                    )
                    for cluster, found in ((before, was), (after, now))
                )
                if (first.way, first.writer) != (second.way, second.writer):
                    texts.add((first.way, first.writer, second.way, second.writer))
            for _, _, way, _ in texts:
                expected["lost" if way is Way.NONE else "other"] += 1
    told: Counter[str] = Counter()
    for effect in ways(before, after):
        told["lost" if effect.weight is Weight.LOSS else "other"] += effect.count
    assert told == expected


@given(st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "fd00::/64"])))
def test_the_index_of_pools_finds_what_looking_at_all_of_them_finds(texts: list[str]) -> None:
    found = [pool(f"p{n}", text) for n, text in enumerate(texts)]
    index = PoolIndex(found)
    for text in ("10.1.1.7", "10.1.2.0/26", "10.2.0.1", "11.0.0.1", "9.0.0.1", "fd00::1", "fd01::"):
        assert index.holding(ip_network(text)) == pool_for(ip_network(text), found)


NAMESPACES = {"shop": {"tier": "shop"}, "default": {"tier": "x"}}


@st.composite
def offers(draw: st.DrawFn) -> dict[PoolName, IPPool]:
    """Pools that give out addresses in all ways."""
    found = {}
    for name, cidr in (("one", "10.1.0.0/16"), ("two", "10.2.0.0/16"), ("six", "fd00:10::/64")):
        uses = draw(st.sets(st.sampled_from(PoolUse)))
        made = pool(
            name,
            cidr,
            disabled=draw(st.booleans()),
            allocatable=draw(st.sampled_from([True, True, False])),
            node_selector=draw(st.sampled_from(["all()", "rack == 'a'", "rack == 'z'", "("])),
            namespace_selector=draw(st.sampled_from(["", "", "tier == 'shop'", "("])),
            allowed_uses=frozenset(uses | {draw(st.sampled_from(PoolUse))}),
            assignment_mode=draw(st.sampled_from(AssignmentMode)),
        )
        found[made.name] = made
    return found


@settings(max_examples=100)
@given(nodes(), offers())
def test_pools_serve_a_pod_as_assignment_would_choose_them(
    known: dict[NodeName, Node], given_out: dict[PoolName, IPPool]
) -> None:
    serving = Serving(Cluster(nodes=known, pools=given_out, namespaces=NAMESPACES))
    for name, each in known.items():
        for version in (4, 6):
            for namespace, labels in NAMESPACES.items():
                ask = Ask(version, each, namespace_labels=labels)
                try:
                    chosen = frozenset(p.name for p in qualifying(given_out.values(), ask))
                except NoQualifiedPool:
                    chosen = frozenset()
                assert serving.pools(name, version, namespace) == chosen
                served = serving.served(name, version, frozenset(NAMESPACES))
                assert (namespace in served) == bool(chosen)
