"""Which received paths become routes, and the reason for every refusal."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from bgp.calc.judge import Judge
from bgp.calc.learned_routes import Decision, Refusal, decide
from bgp.calc.terms import MAX_NEXT_HOPS, Policy, Terms, build, limit_rank
from bgp.model import Heard, Peering
from felix_py.datastore.calc.reachability import Terms as ReachTerms
from felix_py.datastore.model import EncapMode
from tests.support.bgp_cluster import block, node, path, peering, pool, snapshot

NODES = (
    node("node-1", "10.0.0.1/24", "fd00::1/64"),
    node("node-2", "10.0.0.2/24", "fd00::2/64"),
    node("node-3", "10.0.1.3/24", asn=65003),
)
TUNNELLED = tuple(
    replace(
        each,
        ipv4_ipip_tunnel_address=ip_address(f"10.244.9.{number}"),  # type: ignore[arg-type]
        ipv4_vxlan_tunnel_address=ip_address(f"10.244.10.{number}"),  # type: ignore[arg-type]
    )
    for number, each in enumerate(NODES)
)
POOLS = (pool("blue", "10.244.0.0/16"), pool("six", "fd00:10::/64"))
MESH2 = peering("10.0.0.2")
MESH3 = peering("10.0.1.3", peer_as=65003)
TOR = peering("10.0.0.254", peer_as=65100)
BLOCK = "10.244.2.0/26"


def terms(*, policy: Policy | None = None, **parts: Any) -> Terms:
    facts = snapshot(**{"nodes": NODES, "pools": POOLS, **parts})
    own = [ip_address("172.16.0.1")]
    return build(facts, own, policy or Policy(), {})


def judge(*said: tuple[Peering, Heard], on: Terms | None = None) -> Decision:
    """The decision when each of these peers says this; all paths are to one prefix."""
    [prefix] = said[0][1].prefixes
    candidates = [(peering, heard.path) for peering, heard in said]
    decision = decide(prefix, candidates, on or terms())
    assert Judge(on or terms()).decide(prefix, candidates) == decision
    return decision


def hops(decision: Decision) -> list[str]:
    return [str(hop) for hop in decision.next_hops]


def reasons(decision: Decision) -> list[Refusal]:
    return [reason for _, reason in decision.refused]


def test_a_block_in_a_pool_is_learned_from_the_node() -> None:
    assert hops(judge((MESH2, path(BLOCK, "10.0.0.2")))) == ["10.0.0.2"]
    six = judge((peering("fd00::2", "fd00::1"), path("fd00:10::40/122", "fd00::2")))
    assert hops(six) == ["fd00::2"]


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("0.0.0.0/0", Refusal.DEFAULT_ROUTE),
        ("::/0", Refusal.DEFAULT_ROUTE),
        ("192.0.2.0/24", Refusal.OUTSIDE_POOLS),
        ("10.240.0.0/12", Refusal.OUTSIDE_POOLS),
        ("10.0.0.0/24", Refusal.OUTSIDE_POOLS),
    ],
)
def test_the_kernel_is_guarded_from_prefixes_that_are_not_ours_to_route(
    prefix: str, reason: Refusal
) -> None:
    hop = "fd00::2" if ":" in prefix else "10.0.0.2"
    decision = judge((MESH2, path(prefix, hop)))
    assert (hops(decision), reasons(decision)) == ([], [reason])


def test_the_operator_may_allow_ranges_and_a_default_route() -> None:
    policy = Policy(accept_default_route=True, allowed_ranges=(ip_network("192.0.2.0/24"),))
    on = terms(policy=policy)
    assert hops(judge((TOR, path("0.0.0.0/0", "10.0.0.254", 65100)), on=on)) == ["10.0.0.254"]
    assert hops(judge((TOR, path("192.0.2.128/25", "10.0.0.254", 65100)), on=on)) == ["10.0.0.254"]
    outside = judge((TOR, path("198.51.100.0/24", "10.0.0.254", 65100)), on=on)
    assert reasons(outside) == [Refusal.OUTSIDE_POOLS]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (path(BLOCK, "10.0.0.254", 65100, 64512), Refusal.AS_LOOP),
        (path(BLOCK, "10.0.0.254"), Refusal.FIRST_AS),
        (path(BLOCK, "10.0.0.254", 65100, originator_id="10.0.0.1"), Refusal.OWN_ORIGIN),
        (path(BLOCK, "10.0.0.1", 65100), Refusal.NEXT_HOP_SELF),
        (path(BLOCK, "172.16.0.1", 65100), Refusal.NEXT_HOP_SELF),
        (path(BLOCK, "127.0.0.1", 65100), Refusal.NEXT_HOP_UNUSABLE),
        (path(BLOCK, "224.0.0.5", 65100), Refusal.NEXT_HOP_UNUSABLE),
        (path(BLOCK, "0.0.0.0", 65100), Refusal.NEXT_HOP_UNUSABLE),
        (path(BLOCK, "fd00::2", 65100), Refusal.NEXT_HOP_UNUSABLE),
        (path("fd00:10::40/122", "fe80::1", 65100), Refusal.NEXT_HOP_UNUSABLE),
        (path("fd00:10::40/122", "::ffff:10.0.0.2", 65100), Refusal.NEXT_HOP_UNUSABLE),
    ],
)
def test_loops_and_impossible_next_hops_are_refused(said: Heard, reason: Refusal) -> None:
    decision = judge((TOR, said))
    assert (hops(decision), reasons(decision)) == ([], [reason])


def test_our_own_as_may_be_allowed_a_number_of_times() -> None:
    tolerant = peering("10.0.0.254", peer_as=65100, allowed_local_as=1)
    assert hops(judge((tolerant, path(BLOCK, "10.0.0.254", 65100, 64512)))) == ["10.0.0.254"]
    twice = judge((tolerant, path(BLOCK, "10.0.0.254", 65100, 64512, 64512)))
    assert reasons(twice) == [Refusal.AS_LOOP]


def test_our_own_cluster_id_is_refused() -> None:
    me = node("node-1", "10.0.0.1/24", route_reflector_cluster_id="1.0.0.1")
    on = terms(nodes=(me, *NODES[1:]))
    said = path(BLOCK, "10.0.0.2", cluster_list=("1.0.0.2", "1.0.0.1"))
    assert reasons(judge((MESH2, said), on=on)) == [Refusal.OWN_ORIGIN]


MINE = block("10.244.1.0/26", "node-1", {"10.244.1.5": "node-2", "10.244.1.6": "node-1"})


def test_inside_our_own_block_only_the_borrowed_address_is_learned_and_only_from_its_node() -> None:
    on = terms(blocks=[MINE])
    assert hops(judge((MESH2, path("10.244.1.5/32", "10.0.0.2")), on=on)) == ["10.0.0.2"]
    for said in (
        path("10.244.1.0/26", "10.0.0.2"),
        path("10.244.1.4/31", "10.0.0.2"),
        path("10.244.1.6/32", "10.0.0.2"),
        path("10.244.1.7/32", "10.0.0.2"),
    ):
        decision = judge((MESH2, said), on=on)
        assert (hops(decision), reasons(decision)) == ([], [Refusal.OUR_BLOCK]), said
    wrong_node = judge((MESH3, path("10.244.1.5/32", "10.0.1.3", 65003)), on=on)
    assert reasons(wrong_node) == [Refusal.OUR_BLOCK]


def test_a_borrowed_address_behind_a_router_is_known_by_next_hop_originator_or_origin_as() -> None:
    borrowed = block("10.244.1.0/26", "node-1", {"10.244.1.5": "node-3", "10.244.1.6": "node-2"})
    on = terms(blocks=[borrowed])
    reflector = peering("10.0.0.253")
    kept = path("10.244.1.6/32", "10.0.0.2", originator_id="10.0.0.2", cluster_list=("1.1.1.1",))
    assert hops(judge((reflector, kept), on=on)) == ["10.0.0.2"]
    rewritten = path("10.244.1.5/32", "10.0.0.254", 65100, 65003)
    assert hops(judge((TOR, rewritten), on=on)) == ["10.0.0.254"]
    other = path("10.244.1.5/32", "10.0.0.254", 65100, 65004)
    assert reasons(judge((TOR, other), on=on)) == [Refusal.OUR_BLOCK]
    unknown = path("10.244.1.5/32", "10.0.0.253")
    assert reasons(judge((reflector, unknown), on=on)) == [Refusal.OUR_BLOCK]


def test_a_borrowed_address_from_a_rack_of_another_as_passes_a_router_of_our_own() -> None:
    on = terms(blocks=[block("10.244.1.0/26", "node-1", {"10.244.1.5": "node-3"})])
    tor = peering("10.0.0.253")
    from_rack = path("10.244.1.5/32", "10.0.0.253", 65003)
    assert hops(judge((tor, from_rack), on=on)) == ["10.0.0.253"]
    by_border = path("10.244.1.5/32", "10.0.0.253", 65003, originator_id="10.9.9.9")
    assert hops(judge((tor, by_border), on=on)) == ["10.0.0.253"]
    by_another = path("10.244.1.5/32", "10.0.0.253", 65003, originator_id="10.0.0.2")
    assert reasons(judge((tor, by_another), on=on)) == [Refusal.OUR_BLOCK]
    other_rack = path("10.244.1.5/32", "10.0.0.253", 65004)
    assert reasons(judge((tor, other_rack), on=on)) == [Refusal.OUR_BLOCK]


def test_a_range_around_our_block_may_be_learned() -> None:
    on = terms(blocks=[MINE])
    assert hops(judge((TOR, path("10.244.0.0/16", "10.0.0.254", 65100)), on=on)) == ["10.0.0.254"]


def test_what_a_tunnel_leads_to_is_felixs_and_what_etcd_names_nobody_for_is_refused() -> None:
    vxlan = pool("v", "10.244.0.0/16", vxlan_mode=EncapMode.ALWAYS)
    always = pool("i", "10.244.0.0/16", ipip_mode=EncapMode.ALWAYS)
    cross = pool("c", "10.244.0.0/16", ipip_mode=EncapMode.CROSS_SUBNET)
    far = path(BLOCK, "10.0.1.3", 65003)
    held = [block(BLOCK, "node-3")]
    for each in (vxlan, always, cross):
        on = terms(pools=[each], nodes=TUNNELLED, blocks=held)
        assert reasons(judge((MESH3, far), on=on)) == [Refusal.FELIX_WRITES_IT]
        unknown = terms(pools=[each], nodes=TUNNELLED)
        assert reasons(judge((MESH3, far), on=unknown)) == [Refusal.NEEDS_TUNNEL]
    assert hops(judge((MESH2, path(BLOCK, "10.0.0.2")), on=terms(pools=[cross]))) == ["10.0.0.2"]


def test_nodes_that_have_not_published_a_tunnel_stay_direct() -> None:
    always = pool("i", "10.244.0.0/16", ipip_mode=EncapMode.ALWAYS)
    on = terms(pools=[always], blocks=[block(BLOCK, "node-3")])
    assert hops(judge((MESH3, path(BLOCK, "10.0.1.3", 65003)), on=on)) == ["10.0.1.3"]


def test_an_address_inside_anothers_block_goes_the_way_of_its_node() -> None:
    always = pool("i", "10.244.0.0/16", ipip_mode=EncapMode.ALWAYS)
    on = terms(
        pools=[always], nodes=TUNNELLED, blocks=[block(BLOCK, "node-3", {"10.244.2.9": "node-2"})]
    )
    single = path("10.244.2.7/32", "10.0.0.254", 65100)
    assert reasons(judge((TOR, single), on=on)) == [Refusal.FELIX_WRITES_IT]
    assert on.felix.owner_of(ip_network("10.244.2.9/32"), always) == "node-2"
    assert on.felix.owner_of(ip_network("10.244.2.8/32"), always) == "node-3"


def test_with_routes_handed_to_felix_bgp_keeps_what_felix_has_no_next_hop_for() -> None:
    blocks = [block(BLOCK, "node-2"), block("10.244.3.0/26", "node-3")]
    on = terms(blocks=blocks, terms=ReachTerms(felix_programs=True))
    assert reasons(judge((MESH2, path(BLOCK, "10.0.0.2")), on=on)) == [Refusal.FELIX_WRITES_IT]
    far = path("10.244.3.0/26", "10.0.1.3", 65003)
    assert hops(judge((MESH3, far), on=on)) == ["10.0.1.3"]


A, B = peering("10.0.0.11", peer_as=65001), peering("10.0.0.12", peer_as=65002)
C, D = peering("10.0.0.13"), peering("10.0.0.14")


@pytest.mark.parametrize(
    ("first", "second", "winners"),
    [
        pytest.param(
            (C, path(BLOCK, "10.0.0.13", 1, 2, local_preference=200)),
            (D, path(BLOCK, "10.0.0.14", 1, local_preference=100)),
            ["10.0.0.13"],
            id="local preference before AS_PATH",
        ),
        pytest.param(
            (A, path(BLOCK, "10.0.0.11", 65001, 1, local_preference=999)),
            (B, path(BLOCK, "10.0.0.12", 65002)),
            ["10.0.0.12"],
            id="an external peer's local preference does not count",
        ),
        pytest.param(
            (A, path(BLOCK, "10.0.0.11", 65001, origin="incomplete")),
            (B, path(BLOCK, "10.0.0.12", 65002, origin="egp")),
            ["10.0.0.12"],
            id="origin",
        ),
        pytest.param(
            (C, path(BLOCK, "10.0.0.13", 7, med=5)),
            (D, path(BLOCK, "10.0.0.14", 7, med=4)),
            ["10.0.0.14"],
            id="MED of one neighbour AS",
        ),
        pytest.param(
            (A, path(BLOCK, "10.0.0.11", 65001, med=5)),
            (B, path(BLOCK, "10.0.0.12", 65002, med=4)),
            ["10.0.0.11", "10.0.0.12"],
            id="MED of different neighbours is not compared",
        ),
        pytest.param(
            (A, path(BLOCK, "10.0.0.11", 65001)),
            (C, path(BLOCK, "10.0.0.13", 7)),
            ["10.0.0.11"],
            id="external before internal",
        ),
        pytest.param(
            (C, path(BLOCK, "10.0.0.2", cluster_list=("1.1.1.1",))),
            (D, path(BLOCK, "10.0.0.14")),
            ["10.0.0.14"],
            id="a node's own word before a reflector's",
        ),
        pytest.param(
            (C, path(BLOCK, "10.0.0.14")),
            (D, path(BLOCK, "10.0.0.13")),
            ["10.0.0.13", "10.0.0.14"],
            id="equal paths share the traffic",
        ),
    ],
)
def test_the_best_path_wins_whatever_the_order(
    first: tuple[Peering, Heard], second: tuple[Peering, Heard], winners: list[str]
) -> None:
    assert hops(judge(first, second)) == winners
    assert hops(judge(second, first)) == winners


def test_without_multipath_the_smaller_peer_address_decides() -> None:
    on = terms(policy=Policy(multipath=False))
    said = [(D, path(BLOCK, "10.0.0.14")), (C, path(BLOCK, "10.0.0.13"))]
    assert hops(judge(*said, on=on)) == ["10.0.0.13"]


def test_one_route_has_a_bounded_number_of_next_hops() -> None:
    peers = [peering(f"10.0.0.{i}") for i in range(20, 60)]
    decision = judge(*((p, path(BLOCK, str(p.peer))) for p in reversed(peers)))
    assert hops(decision) == [str(p.peer) for p in peers[:MAX_NEXT_HOPS]]


def test_a_refused_path_does_not_harm_the_others() -> None:
    decision = judge((A, path(BLOCK, "10.0.0.11", 65001, 64512)), (C, path(BLOCK, "10.0.0.13")))
    assert hops(decision) == ["10.0.0.13"]
    assert decision.refused == ((A.peer, Refusal.AS_LOOP),)


def test_a_prefix_limit_counts_prefixes_in_their_order() -> None:
    prefixes = [ip_network(f"10.244.{i}.0/26") for i in (3, 1, 2)]
    assert limit_rank(prefixes, 3) is None
    assert limit_rank(prefixes, 2) == (4, int(ip_address("10.244.2.0")), 26)
    assert limit_rank(prefixes, 0) == (0, 0, 0)
