"""What the doctor makes of what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, ip_address, ip_interface, ip_network
from typing import Any

import msgspec
import pytest

from felix_py.ctl.calc import doctor_pairs
from felix_py.ctl.calc.checkup import (
    Checkup,
    Examination,
    Finding,
    ProbeFact,
    Problem,
    Target,
    from_json,
    mtu_of,
    targets,
    to_json,
)
from felix_py.ctl.calc.facts import (
    AddressFact,
    DaemonFact,
    HopFact,
    LinkFact,
    LookupFact,
    NodeFacts,
    RouteFact,
)
from felix_py.ctl.calc.world import World
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.model import EncapMode, IPPool, Metadata, Node, NodeName

ONE, TWO = NodeName("node-1"), NodeName("node-2")
ADDRESSES = {ONE: "10.0.1.2", TWO: "10.0.2.2"}
HEALTHY = {
    "ipv4/ip_forward": 1,
    "ipv4/conf/all/rp_filter": 0,
    "netfilter/nf_conntrack_max": 262144,
    "netfilter/nf_conntrack_count": 17,
    "ipv4/neigh/default/gc_thresh3": 1024,
    "ipv4/fib_multipath_hash_policy": 0,
}
ETH0 = LinkFact("eth0", 2, mtu=1500, up=True, forwarding4=True, rp_filter=0)
ETH1 = LinkFact("eth1", 3, mtu=1500, up=True, forwarding4=True, rp_filter=0)
GATEWAY = HopFact("eth0", ip_address("10.0.1.1"))
PLAIN = IPPool(Metadata("p"), ip_network("10.244.0.0/16"), 26)
IPIP = replace(PLAIN, ipip_mode=EncapMode.ALWAYS)
VXLAN = replace(PLAIN, vxlan_mode=EncapMode.CROSS_SUBNET)


def node(name: NodeName, address: str = "") -> Node:
    return Node(Metadata(name), ipv4_address=IPv4Interface(address or f"{ADDRESSES[name]}/24"))


def world(*pools: IPPool, nodes: Mapping[NodeName, Node] | None = None) -> World:
    return World(pools=pools or (PLAIN,), nodes=nodes or {ONE: node(ONE), TWO: node(TWO)})


def seen(
    name: NodeName = ONE,
    *,
    links: tuple[LinkFact, ...] = (ETH0,),
    sysctls: Mapping[str, int] | None = None,
    hops: tuple[HopFact, ...] = (GATEWAY,),
    felix: Mapping[str, Any] | None = None,
    **probe: Any,
) -> Examination:
    """A healthy node with changes; `probe`: fields of its probe to the other."""
    other = TWO if name == ONE else ONE
    far = ip_address(ADDRESSES[other])
    facts = NodeFacts(
        name,
        links=links,
        addresses=(AddressFact("eth0", ip_interface(f"{ADDRESSES[name]}/24")),),
        lookups=(LookupFact(far, route=RouteFact(ip_network("0.0.0.0/0"), hops=hops)),),
        sysctls={**HEALTHY, **(sysctls or {})},
        daemons={"felix": DaemonFact(felix or {}, running=True)},
    )
    told = ProbeFact(other, ADDRESSES[other], 1500, 1500, 63, "eth0")
    return Examination(facts, (msgspec.structs.replace(told, **probe),))


def judged(
    *examinations: Examination,
    of: World | None = None,
    unseen: Mapping[NodeName, str] | None = None,
) -> list[Finding]:
    everyone = {each.node: each for each in examinations}
    return doctor_pairs.judge(Checkup(of or world(), everyone, unseen or {}))


def problems(*examinations: Examination, of: World | None = None) -> list[Problem]:
    return [finding.problem for finding in judged(*examinations, of=of)]


def test_a_healthy_pair_names_nothing_from_one_side_or_both() -> None:
    assert problems(seen()) == []
    assert problems(seen(), seen(TWO)) == []


@pytest.mark.parametrize(
    ("sysctls", "problem"),
    [
        ({"ipv4/ip_forward": 0}, Problem.FORWARDING),
        ({"netfilter/nf_conntrack_max": 1024}, Problem.CONNTRACK),
        ({"netfilter/nf_conntrack_count": 250000}, Problem.CONNTRACK),
    ],
)
def test_a_hosts_limit_is_named_alone(sysctls: Mapping[str, int], problem: Problem) -> None:
    [finding] = judged(seen(sysctls=sysctls))
    assert finding.problem is problem
    assert finding.change.startswith("sysctl -w net.")


def test_pods_and_nodes_on_the_link_count_for_the_neighbour_table() -> None:
    crowded = {"endpoints": 900}
    assert problems(seen(felix=crowded)) == [Problem.NEIGHBOURS]
    assert problems(seen(felix={"endpoints": 700})) == []
    busy = replace_neighbours(seen(), 1000)
    assert problems(busy) == [Problem.NEIGHBOURS]


def replace_neighbours(examination: Examination, count: int) -> Examination:
    return msgspec.structs.replace(examination, neighbours={"ipv4": count})


def test_settings_that_were_not_seen_are_not_judged() -> None:
    blind = seen()
    facts = msgspec.structs.replace(blind.facts, sysctls={})
    assert problems(msgspec.structs.replace(blind, facts=facts)) == []


@pytest.mark.parametrize(("link", "every", "strict"), [(1, 0, 1), (0, 1, 1), (2, 1, 0), (0, 0, 0)])
def test_the_larger_of_a_links_filter_and_of_all_counts(link: int, every: int, strict: int) -> None:
    eth0 = msgspec.structs.replace(ETH0, rp_filter=link)
    looked = seen(links=(eth0,), sysctls={"ipv4/conf/all/rp_filter": every})
    assert problems(looked, of=world(IPIP)) == [Problem.RP_FILTER] * strict
    assert problems(looked) == []


def test_a_strict_tunnel_is_named_like_a_strict_uplink() -> None:
    tunl0 = LinkFact("tunl0", 9, "ipip", mtu=1480, up=True, rp_filter=1)
    assert problems(seen(links=(ETH0, tunl0)), of=world(IPIP)) == [Problem.RP_FILTER]


def test_a_tunnel_that_is_too_large_for_its_uplink_is_named_with_its_size() -> None:
    tunnel = LinkFact("vxlan.calico", 9, "vxlan", mtu=1500, up=True, rp_filter=2)
    [finding] = judged(seen(links=(ETH0, tunnel)), of=world(VXLAN))
    assert (finding.problem, finding.change[:40]) == (
        Problem.MTU,
        "ip link set dev vxlan.calico mtu 1450; i",
    )


def test_pods_that_are_too_large_are_named() -> None:
    pods = [{"pod": "web/a", "link": "cali1", "mtu": 1500}, {"pod": "web/b", "mtu": 1400}]
    [finding] = judged(seen(felix={"mtu": {"pods": pods}}), of=world(IPIP))
    assert (finding.problem, finding.change) == (Problem.MTU, "felixctl mtu fix")
    assert "web/a" in finding.evidence
    assert "web/b" not in finding.evidence


def test_an_unanswered_node_with_a_second_strict_uplink_tells_of_it() -> None:
    """The second uplink is known by its way to a third node."""
    third, far = NodeName("node-3"), ip_address("10.0.3.2")
    strict = msgspec.structs.replace(ETH1, rp_filter=1)
    looked = seen(links=(ETH0, strict), fits=0, ttl=None, arrived="")
    route = RouteFact(ip_network("10.0.3.0/24"), hops=(HopFact("eth1"),))
    lookups = (*looked.facts.lookups, LookupFact(far, route=route))
    looked = msgspec.structs.replace(
        looked, facts=msgspec.structs.replace(looked.facts, lookups=lookups)
    )
    nodes = {ONE: node(ONE), TWO: node(TWO), third: node(third, "10.0.3.2/24")}
    [finding] = judged(looked, of=world(nodes=nodes))
    assert finding.problem is Problem.NO_ANSWER
    assert "net.ipv4.conf.eth1.rp_filter=2" in finding.change


@pytest.mark.parametrize(
    ("limit", "by", "words"),
    [
        (None, "", "nobody says so"),
        (1400, "10.0.1.1", "10.0.1.1 says 1400"),
        (0, "", "eth0 of this node takes no more"),
    ],
)
def test_a_small_path_says_who_limits_it(limit: int | None, by: str, words: str) -> None:
    [finding] = judged(seen(fits=1400, limit=limit, limited_by=by))
    assert finding.problem is Problem.PATH_MTU
    assert words in finding.evidence


def test_an_answer_by_another_link_is_told_as_advice() -> None:
    [finding] = judged(seen(links=(ETH0, ETH1), arrived="eth1"))
    assert (finding.problem, finding.wrong) == (Problem.ASYMMETRIC, False)


def test_both_sides_together_show_ways_of_different_length_once() -> None:
    [finding] = judged(seen(ttl=63), seen(TWO, ttl=62))
    assert (finding.problem, finding.node, finding.other) == (Problem.ASYMMETRIC, ONE, TWO)
    assert finding.evidence == "2 routers towards node-2, 1 on the way back"


@pytest.mark.parametrize("ttl", [64, 128, 255])
def test_a_sender_that_starts_higher_is_no_router(ttl: int) -> None:
    assert problems(seen(ttl=ttl, hops=(HopFact("eth0"),))) == []


def test_several_ways_are_told_as_advice_unless_ports_count() -> None:
    two = (GATEWAY, HopFact("eth1", ip_address("10.9.0.1")))
    [finding] = judged(seen(links=(ETH0, ETH1), hops=two))
    assert (finding.problem, finding.wrong) == (Problem.ECMP, False)
    assert problems(seen(hops=two, sysctls={"ipv4/fib_multipath_hash_policy": 1})) == []


def test_prefixes_that_disagree_are_told_once_though_both_were_looked_at() -> None:
    nodes = {ONE: node(ONE, "10.0.1.2/16"), TWO: node(TWO)}
    assert problems(seen(), seen(TWO), of=world(nodes=nodes)) == [Problem.PREFIXES]
    assert problems(seen(TWO), of=world(nodes=nodes)) == [Problem.PREFIXES]


def test_a_hosts_prefix_is_no_disagreement_and_serious_only_where_subnets_matter() -> None:
    nodes = {ONE: node(ONE, "10.0.1.2/32"), TWO: node(TWO)}
    [harmless] = judged(seen(), of=world(nodes=nodes))
    [serious] = judged(seen(), of=world(VXLAN, nodes=nodes))
    assert harmless.problem is serious.problem is Problem.PREFIX_LENGTH
    assert (harmless.wrong, serious.wrong) == (False, True)


@pytest.mark.parametrize(
    ("pool", "size"), [(PLAIN, 1500), (IPIP, 1500), (VXLAN, 1500), (None, 1500)]
)
def test_what_is_probed_is_the_largest_packet_on_the_wire(pool: IPPool | None, size: int) -> None:
    of = World(pools=() if pool is None else (pool,), nodes=world().nodes)
    found = targets(of, ONE, mtu_of(of, ONE, [ETH0]), Backend.BGP)
    assert found == [Target(TWO, ip_address("10.0.2.2"), size)]


def test_a_direct_way_beside_tunnels_is_probed_with_what_pods_send() -> None:
    nodes = {ONE: node(ONE, "10.0.1.2/16"), TWO: node(TWO, "10.0.2.2/16")}
    of = world(VXLAN, nodes=nodes)
    [target] = targets(of, ONE, mtu_of(of, ONE, [ETH0]), Backend.BGP)
    assert target.size == 1450


def test_an_examination_travels_as_json() -> None:
    looked = replace_neighbours(seen(ttl=None, limit=1400, fits=1400), 3)
    assert from_json(to_json(looked)) == looked
    with pytest.raises(ValueError, match="facts"):
        from_json(b"{}")
