"""What a change does to pods, nodes, routes and selectors, told in sentences."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from felix_py.ctl.calc.plan_cluster import Changes, Cluster
from felix_py.ctl.calc.plan_effect import Weight
from felix_py.ctl.calc.plan_effects import effects
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    AssignmentMode,
    EncapMode,
    IPPool,
    Kind,
    Metadata,
    NodeName,
)
from felix_py.datastore.model_bgp import BGPConfiguration
from felix_py.datastore.territory import Holding
from tests.support.bgp_cluster import bgp_peer, endpoint, node, pool

MAIN = pool("main", "10.244.0.0/16")
SPARE = pool("spare", "10.245.0.0/16")
NODES = [
    node("a1", "10.0.1.1/24", labels={"rack": "a"}),
    node("a2", "10.0.1.2/24", labels={"rack": "a"}),
    node("b1", "10.0.2.1/24", labels={"rack": "b"}),
]
PODS = {"a1": "10.244.1.5/32", "a2": "10.244.2.5/32", "b1": "10.244.3.5/32"}


def cluster(*pools: IPPool, **more: Any) -> Cluster:
    """Three nodes in two racks, each with a block and a pod in it."""
    blocks = {each.name: ip_network(f"10.244.{n}.0/26") for n, each in enumerate(NODES, 1)}
    return Cluster(
        pools={each.name: each for each in pools or (MAIN,)},
        nodes={each.name: each for each in NODES},
        endpoints={
            NodeName(name): {
                ResourceKey(Kind.WORKLOAD_ENDPOINT, f"pod-{name}", "default"): endpoint(
                    f"pod-{name}", address, on=name
                )
            }
            for name, address in PODS.items()
        },
        blocks={name: {cidr: Holding(name)} for name, cidr in blocks.items()},
        affinities={name: {cidr: AffinityState.CONFIRMED} for name, cidr in blocks.items()},
        **more,
    )


def told(before: Cluster, changes: Changes) -> dict[str, tuple[Weight, int, tuple[str, ...]]]:
    """Text -> weight, count, examples."""
    found = effects(before, before.changed(changes))
    return {each.text: (each.weight, each.count, each.examples) for each in found}


def losses(before: Cluster, changes: Changes) -> set[str]:
    return {text for text, (weight, _, _) in told(before, changes).items() if weight is Weight.LOSS}


def pools(*changed: IPPool | str) -> Changes:
    """These pools written, those named deleted."""
    return {
        ResourceKey(Kind.IP_POOL, each if isinstance(each, str) else each.name): (
            None if isinstance(each, str) else each
        )
        for each in changed
    }


LOST = "pods lose their address: no pool holds it any more"
LATER = "pods keep their address until they start again, then they need one of another pool"
KEPT = "pods keep their address"
WITHDRAWN = "routes are withdrawn from all peers"
NO_POOL = "nodes are left without an IPv4 pool: no pod can start there"


def test_what_changes_nothing_says_that_pods_keep_their_addresses_alone() -> None:
    labelled = replace(MAIN, meta=Metadata("main", labels={"team": "net"}))
    assert told(cluster(), pools(labelled)) == {KEPT: (Weight.NOTE, 3, ())}


def test_pods_that_are_translated_otherwise_are_counted() -> None:
    found = told(cluster(), pools(replace(MAIN, nat_outgoing=True)))
    text = "pods of pool main go out of the cluster with their node's address"
    assert found[text] == (Weight.CHANGE, 3, ())


def test_a_pool_with_fewer_blocks_than_nodes_says_so_once() -> None:
    small = pool("small", "10.9.0.0/25")
    found = told(cluster(), pools(small))
    text = "nodes find no block of their own in pool small: it has 2"
    assert found[text] == (Weight.CHANGE, 1, ())
    assert text not in told(cluster(MAIN, small), pools(replace(small, nat_outgoing=True)))


def test_pods_of_a_deleted_pool_lose_their_addresses_and_nodes_announce_nothing() -> None:
    found = told(cluster(), pools("main"))
    weight, count, examples = found[LOST]
    assert (weight, count) == (Weight.LOSS, 3)
    assert "default/pod-a1 10.244.1.5" in examples
    assert found[NO_POOL][1] == 3
    assert found[WITHDRAWN][:2] == (Weight.LOSS, 3)


def test_pods_of_a_disabled_pool_need_another_address_when_they_start_again() -> None:
    found = told(cluster(MAIN, SPARE), pools(replace(MAIN, disabled=True)))
    assert found[LATER][:2] == (Weight.CHANGE, 3)
    assert not losses(cluster(MAIN, SPARE), pools(replace(MAIN, disabled=True)))


def test_pods_that_need_another_address_are_too_many_for_a_small_pool() -> None:
    tiny = pool("tiny", "10.9.0.0/31")
    before = cluster(MAIN, replace(tiny, block_size=31))
    text = "pods that need another address find none in tiny"
    assert told(before, pools(replace(MAIN, disabled=True)))[text] == (Weight.LOSS, 1, ())
    larger = cluster(MAIN, pool("tiny", "10.9.0.0/26"))
    assert text not in told(larger, pools(replace(MAIN, disabled=True)))


def test_disabling_the_only_pool_leaves_nodes_without_one() -> None:
    assert losses(cluster(), pools(replace(MAIN, disabled=True))) == {NO_POOL}


def test_a_narrower_node_selector_names_the_nodes_that_are_left_without_a_pool() -> None:
    found = told(cluster(), pools(replace(MAIN, node_selector="rack == 'a'")))
    assert found[NO_POOL] == (Weight.LOSS, 1, ("b1",))
    assert found[LATER][2] == ("default/pod-b1 10.244.3.5",)
    assert found[KEPT][1] == 2


def test_a_namespace_selector_leaves_the_other_namespaces_without_a_pool() -> None:
    before = cluster(namespaces={"default": {"tier": "x"}, "shop": {"tier": "shop"}})
    found = told(before, pools(replace(MAIN, namespace_selector="tier == 'shop'")))
    weight, count, examples = found["namespaces are left without an IPv4 pool on a node"]
    assert weight is Weight.LOSS
    assert count == 6
    assert "default on a1" in examples
    assert found[LATER][1] == 3


def test_a_manual_pool_keeps_serving_whoever_names_it() -> None:
    manual = replace(MAIN, assignment_mode=AssignmentMode.MANUAL)
    found = told(cluster(manual, SPARE), pools(replace(manual, node_selector="rack == 'z'")))
    assert LATER not in found


def test_a_pool_that_is_exported_no_more_withdraws_its_routes() -> None:
    found = told(cluster(), pools(replace(MAIN, disable_bgp_export=True)))
    assert found[WITHDRAWN][:2] == (Weight.LOSS, 3)
    assert "10.244.1.0/26 of a1" in found[WITHDRAWN][2]


def test_ipip_across_subnets_moves_the_pairs_of_different_racks_alone() -> None:
    found = told(cluster(), pools(replace(MAIN, ipip_mode=EncapMode.CROSS_SUBNET)))
    assert found["pairs of nodes: pool main goes by ipip, not direct"][:2] == (Weight.CHANGE, 2)
    assert found["nodes take an address for their IPIP tunnel"][1] == 3


def test_vxlan_in_place_of_ipip_says_which_tunnel_addresses_come_and_go() -> None:
    before = cluster(replace(MAIN, ipip_mode=EncapMode.ALWAYS))
    found = told(before, pools(replace(MAIN, vxlan_mode=EncapMode.ALWAYS)))
    assert found["nodes give back the address of their IPIP tunnel"][1] == 3
    assert found["nodes take an address for their VXLAN tunnel"][1] == 3
    assert found["pairs of nodes: pool main goes by vxlan, not by ipip"][1] == 3


def test_without_bgp_a_pool_without_a_tunnel_does_not_reach_the_other_rack() -> None:
    backends = dict.fromkeys((each.name for each in NODES), Backend.NONE)
    before = cluster(replace(MAIN, vxlan_mode=EncapMode.CROSS_SUBNET), backends=backends)
    found = told(before, pools(MAIN))
    text = "pairs of nodes do not reach one another's pods of pool main any more"
    assert found[text][:2] == (Weight.LOSS, 2)
    assert WITHDRAWN not in found


def test_the_mesh_switched_off_without_peers_leaves_every_node_alone() -> None:
    off = BGPConfiguration(Metadata("default"), mesh_enabled=False)
    changes: Changes = {ResourceKey(Kind.BGP_CONFIGURATION, "default"): off}
    found = told(cluster(), changes)
    assert found["sessions go down and do not come back"][:2] == (Weight.CHANGE, 3)
    assert found["nodes are left without any session"] == (Weight.LOSS, 3, ("a1", "a2", "b1"))


def test_another_as_resets_every_session() -> None:
    other = BGPConfiguration(Metadata("default"), as_number=64999)  # type: ignore[arg-type]
    found = told(cluster(), {ResourceKey(Kind.BGP_CONFIGURATION, "default"): other})
    assert found["sessions are reset"][:2] == (Weight.CHANGE, 3)
    assert not [text for text, (weight, _, _) in found.items() if weight is Weight.LOSS]


def test_a_peer_for_nodes_that_are_not_there_is_named() -> None:
    peer = bgp_peer("tor", peer_ip="10.0.9.1", as_number=65000, node_selector="rack == 'z'")
    found = told(cluster(), {ResourceKey(Kind.BGP_PEER, "tor"): peer})
    (examples,) = {found["selectors or names match nothing"][2]}
    assert examples == ("BGPPeer(tor) nodeSelector \"rack == 'z'\"",)


def test_a_new_peer_of_a_rack_comes_up_on_its_nodes() -> None:
    peer = bgp_peer("tor", peer_ip="10.0.1.254", as_number=65000, node_selector="rack == 'a'")
    found = told(cluster(), {ResourceKey(Kind.BGP_PEER, "tor"): peer})
    assert found["sessions come up"] == (
        Weight.CHANGE,
        2,
        ("10.0.1.1 - 10.0.1.254", "10.0.1.2 - 10.0.1.254"),
    )
    assert found["sessions stay up"][1] == 3


def test_a_peering_that_cannot_be_served_says_why() -> None:
    peer = bgp_peer("tor", peer_ip="10.0.1.254")
    found = told(cluster(), {ResourceKey(Kind.BGP_PEER, "tor"): peer})
    assert "asNumber is missing" in found["peerings make no session"][2][0]


def test_a_deleted_node_takes_its_pods_and_routes_along() -> None:
    found = told(cluster(), {ResourceKey(Kind.NODE, "b1"): None})
    assert found["pods' addresses are released with their node"][1] == 1
    assert found[WITHDRAWN][2] == ("10.244.3.0/26 of b1",)
    assert found["sessions go down and do not come back"][1] == 2


def test_labels_that_leave_a_node_take_its_pool_and_leave_selectors_empty() -> None:
    rack_b = pool("rack-b", "10.246.0.0/16", node_selector="rack == 'b'")
    before = cluster(replace(MAIN, node_selector="rack == 'a'"), rack_b)
    bare = replace(NODES[2], meta=Metadata("b1"))
    found = told(before, {ResourceKey(Kind.NODE, "b1"): bare})
    assert found[NO_POOL][2] == ("b1",)
    assert found["selectors or names match nothing"][2] == (
        "IPPool(rack-b) nodeSelector \"rack == 'b'\"",
    )


def test_addresses_outside_every_pool_are_nobodys_loss() -> None:
    found = told(cluster(SPARE), pools("spare"))
    assert LOST not in found
