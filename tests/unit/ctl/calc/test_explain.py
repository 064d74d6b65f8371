"""What explain concludes: one thing wrong in a healthy world, and just that is named."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_network
from typing import Any

import msgspec
import pytest

from felix_py.ctl.calc.explain import explain
from felix_py.ctl.calc.facts import (
    DaemonFact,
    HopFact,
    LinkFact,
    LookupFact,
    NeighbourFact,
    NftTableFact,
    PodFact,
    RouteFact,
    ToldFact,
)
from felix_py.ctl.calc.world import World
from felix_py.datastore.model import AffinityState, EncapMode, IPPool
from tests.unit.ctl.calc.ways import (
    BLOCK,
    GATEWAY,
    NODE_IP,
    OUTSIDE,
    POD,
    VETH,
    VTEP,
    VTEP_MAC,
    A,
    B,
    answered,
    block,
    endpoint,
    judged,
    named,
    node,
    pool,
    said,
    seen,
    session,
    statuses,
    with_link,
    without_route,
    world,
)


def told(**changes: Any) -> ToldFact:
    """What a's ToR tells of b's block."""
    path = ToldFact(POD[B], BLOCK[B], GATEWAY[A], GATEWAY[A], "BGPPeer tor", used=True)
    return msgspec.structs.replace(path, **changes)


@pytest.mark.parametrize("tunnel", [False, True])
def test_a_healthy_way_names_nothing_and_every_step_an_owner_or_a_kernel_object(
    *, tunnel: bool
) -> None:
    found = judged(world(tunnel=tunnel))
    assert found.fault is None
    assert all(step.kernel or step.owner for step in found.steps)
    assert ("tunnel" in {step.what for step in found.steps}) is tunnel


def test_a_healthy_way_to_the_world_names_nothing_with_and_without_translation() -> None:
    assert named(world(), outside=True) is None
    assert named(world(pools=(pool(nat_outgoing=True),)), outside=True) is None


def test_a_node_that_was_not_seen_is_no_fault_and_is_said_to_be_unseen() -> None:
    there = world()
    blind = replace(there, facts={A: there.facts[A]}, unseen={B: "no way"})
    found = judged(blind)
    assert found.fault is None
    assert "the kernel of b was not seen: no way" in {step.note for step in found.steps}


def test_two_claims_of_one_address_are_named_before_what_follows_from_them() -> None:
    there = world()
    twins = {**there.endpoints, **dict([endpoint(B, "twin")])}
    assert named(without_route(replace(there, endpoints=twins), B)) == ("b", "duplicate-address")


def test_an_address_of_a_pool_that_nobody_has_is_named() -> None:
    there = world()
    free = there.end(ip_address("10.244.9.9"))
    step = explain(there, there.end(POD[A]), free).fault
    assert step is not None
    assert step.finding is not None
    assert step.finding.fault.value == "no-endpoint"


def test_an_address_in_no_pool_is_named_with_the_pool_that_is_invalid() -> None:
    broken = {"/calico/resources/v3/projectcalico.org/ippools/pods": "cidr: nonsense"}
    there = world(pools=(), invalid=broken)
    assert named(there) == ("a", "no-pool")
    step = judged(there).fault
    assert step is not None
    assert "cidr: nonsense" in str(step.finding)


def test_a_disabled_pool_is_named_unless_something_loses_packets() -> None:
    there = world(pools=(pool(disabled=True),))
    assert named(there) == ("a", "pool-disabled")
    assert named(with_link(there, B, VETH[B], up=False)) == ("b", "link-down")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"up": False}, "link-down"),
        ({"running": False}, "link-down"),
        ({"forwarding4": False}, "forwarding-off"),
        ({"alias": "net.somebody-else"}, "link-of-another"),
        ({"name": "cali0other"}, "link-missing"),
    ],
)
def test_a_pods_link_that_is_not_as_it_must_be_is_named(
    changes: dict[str, Any], fault: str
) -> None:
    assert named(with_link(world(), A, VETH[A], **changes)) == ("a", fault)


def test_a_host_that_does_not_forward_is_named() -> None:
    assert named(seen(world(), B, sysctls={"ipv4/ip_forward": 0})) == ("b", "forwarding-off")


@pytest.mark.parametrize("state", ["permanent", "reachable", "stale"])
def test_a_pods_neighbour_with_a_wrong_mac_is_named(state: str) -> None:
    wrong = (NeighbourFact(VETH[B], POD[B], "02:00:00:00:00:99", state),)
    assert named(seen(world(), B, neighbours=wrong)) == ("b", "stale-neighbour")


@pytest.mark.parametrize("state", ["failed", "incomplete"])
def test_a_next_hop_that_does_not_answer_is_named(state: str) -> None:
    silent = (NeighbourFact("eth0", GATEWAY[A], "", state),)
    assert named(seen(world(), A, neighbours=silent)) == ("a", "stale-neighbour")


def without(there: World, *, sessions: str = "up", paths: tuple[ToldFact, ...] = ()) -> World:
    """No route at a: its peers tell these paths, its session stands so."""
    lost = without_route(there, A)
    document = {"sessions": [session(A, sessions)], "announced": [str(BLOCK[A])]}
    return seen(said(lost, A, "bgp", document), A, told=paths)


def test_a_route_is_missing_because_a_router_between_filters_it() -> None:
    assert named(without(world())) == ("a", "filtered")


def test_a_route_is_missing_because_the_session_is_down() -> None:
    assert named(without(world(), sessions="down")) == ("a", "session-down")


def test_a_route_is_missing_because_a_session_of_the_far_node_is_down() -> None:
    far = {**statuses(B)["bgp"], "sessions": [session(B, "down")]}
    found = judged(said(without(world()), B, "bgp", far)).fault
    assert found is not None
    assert "the session of b with 10.2.0.1" in str(found.finding)


def test_a_route_is_missing_because_the_far_node_does_not_announce_it() -> None:
    silent = {"sessions": [session(B)], "announced": []}
    assert named(said(without(world()), B, "bgp", silent)) == ("a", "not-announced")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"affinities": {(B, BLOCK[B]): AffinityState.PENDING}}, "pending"),
        ({"pools": (pool(disable_bgp_export=True),)}, "disableBGPExport"),
    ],
)
def test_why_the_far_node_does_not_announce_is_said(changes: dict[str, Any], words: str) -> None:
    silent = said(without(world(**changes)), B, "bgp", {"sessions": [session(B)]})
    step = judged(silent).fault
    assert step is not None
    assert words in str(step.finding)


def test_a_path_that_is_refused_is_named_with_the_reason() -> None:
    refused = told(used=False, refused="outside pools")
    there = without(world(), paths=(refused,))
    assert named(there) == ("a", "path-refused")


def test_a_next_hop_that_cannot_be_resolved_is_named() -> None:
    there = without(world(), paths=(told(),))
    hop = {"nextHop": str(GATEWAY[A]), "reason": "no route to it"}
    document = {"sessions": [session(A)], "learned": {"unresolvedNextHops": [hop]}}
    step = judged(said(seen(there, A), A, "bgp", document)).fault
    assert step is not None
    assert "no route to it" in str(step.finding)


def test_where_routers_tell_no_pods_the_default_route_is_the_way() -> None:
    """Nodes that announce and learn nothing: their routers alone know where pods are."""
    found = judged(seen(without(world()), A, tellers=()))
    assert found.fault is None
    assert any("whether the gateway knows" in step.note for step in found.steps)


def test_a_stopped_felix_is_named_where_its_route_is_missing() -> None:
    there = without_route(world(tunnel=True), A)
    dead = {**there.facts[A].daemons, "felix": DaemonFact({}, running=False)}
    assert named(seen(there, A, daemons=dead)) == ("a", "daemon-down")


def test_a_gateway_that_does_not_know_the_way_is_named() -> None:
    mesh = told(peer=NODE_IP[B], next_hop=NODE_IP[B], source="mesh b")
    assert named(seen(world(), A, told=(mesh,))) == ("a", "filtered")
    assert named(seen(world(), A, told=(mesh,), tellers=())) is None


def test_a_path_that_is_only_kept_is_named_by_its_session() -> None:
    kept = seen(world(), A, told=(told(stale=True),))
    document = {"sessions": [session(A, "down")], "announced": [str(BLOCK[A])]}
    assert named(said(kept, A, "bgp", document)) == ("a", "session-down")


def test_a_blackhole_of_a_block_that_is_anothers_is_named() -> None:
    there = world()
    hole = RouteFact(BLOCK[B], "blackhole", 80, 1024)
    wrong = [each for each in there.facts[A].lookups if each.destination == POD[B]]
    there = seen(answered(there, A, wrong, errno.EINVAL), A, routes=(hole,))
    assert named(there) == ("a", "lost-block")
    own = replace(there, blocks=(block(A), block(A, B)))
    assert named(own) == ("a", "no-route"), "its own block, and no route inside it"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL])
def test_a_packet_that_the_reverse_path_filter_drops_is_named(number: int) -> None:
    there = world()
    wrong = [each for each in there.facts[B].lookups if each.source == POD[A]]
    assert named(answered(there, B, wrong, number)) == ("b", "rp-filter")


def test_a_route_that_is_not_ours_is_named_and_loses_nothing() -> None:
    there = world()
    foreign = RouteFact(BLOCK[B], protocol=3, hops=(HopFact("eth0", GATEWAY[A]),))
    answers = [
        msgspec.structs.replace(each, route=foreign) if each.destination == POD[B] else each
        for each in there.facts[A].lookups
    ]
    assert named(seen(there, A, lookups=tuple(answers))) == ("a", "foreign-route")


def prefix(there: World, text: str) -> World:
    """The same world where a's address has another prefix."""
    changed = replace(there.nodes[A], ipv4_address=IPv4Interface(text))
    return replace(there, nodes={**there.nodes, A: changed})


def test_a_prefix_that_the_kernel_contradicts_is_named() -> None:
    assert named(prefix(world(), "10.1.0.11/8")) == ("a", "prefix-length")


def test_two_prefixes_that_contradict_each_other_are_named_though_kernels_were_not_seen() -> None:
    blind = replace(prefix(world(), "10.1.0.11/8"), facts={})
    assert named(blind) == ("a", "prefix-length")


def test_two_nodes_with_one_address_are_named() -> None:
    there = world()
    twin = replace(there.nodes[B], meta=replace(there.nodes[B].meta, name="c"))
    assert named(replace(there, nodes={**there.nodes, twin.name: twin})) == (
        "a",
        "duplicate-address",
    )


def test_a_node_that_etcd_does_not_know_is_named() -> None:
    there = world()
    assert named(replace(there, nodes={A: there.nodes[A]})) == ("a", "no-node")


def test_an_uplink_smaller_than_the_pods_packets_is_named() -> None:
    assert named(with_link(world(), A, "eth0", mtu=1400)) == ("a", "mtu")
    assert named(with_link(world(), B, "eth0", mtu=1400)) == ("a", "mtu")


def test_an_uplink_too_small_for_the_tunnels_header_is_named() -> None:
    assert named(with_link(world(tunnel=True), A, "eth0", mtu=1490)) == ("a", "mtu")


def test_a_missing_forwarding_entry_and_one_to_another_host_are_named() -> None:
    there = world(tunnel=True)
    assert named(seen(there, A, forwarding=())) == ("a", "fdb-entry")
    [entry] = there.facts[A].forwarding
    wrong = msgspec.structs.replace(entry, far_end=ip_address("10.9.9.9"))
    assert named(seen(there, A, forwarding=(wrong,))) == ("a", "fdb-entry")


def test_a_missing_or_wrong_neighbour_of_the_far_vtep_is_named() -> None:
    there = world(tunnel=True)
    assert named(seen(there, A, neighbours=())) == ("a", "stale-neighbour")
    wrong = (NeighbourFact("vxlan.calico", VTEP[B], VTEP_MAC[A], "permanent"),)
    assert named(seen(there, A, neighbours=wrong)) == ("a", "stale-neighbour")


@pytest.mark.parametrize("change", [{"vni": 1}, {"port": 8472}])
def test_tunnels_that_do_not_speak_alike_are_named(change: dict[str, int]) -> None:
    assert named(with_link(world(tunnel=True), B, "vxlan.calico", **change)) == (
        "a",
        "tunnel-wrong",
    )


def ipip() -> tuple[IPPool, ...]:
    return (pool(ipip_mode=EncapMode.ALWAYS),)


def test_a_missing_module_is_named_with_felixs_remedy_and_loses_nothing() -> None:
    device = {
        "encapsulation": "ipip",
        "reason": "NoKernelSupport",
        "message": "this kernel has no ipip",
        "remedy": "modprobe ipip",
    }
    there = said(world(pools=ipip()), A, "felix", {"tunnels": {"devices": [device]}})
    assert named(there) == ("a", "module-missing")
    step = judged(there).fault
    assert step is not None
    assert step.finding is not None
    assert (step.finding.remedy, step.finding.breaks) == ("modprobe ipip", False)


def test_a_tunnel_that_was_not_published_yet_is_named() -> None:
    assert named(world(pools=ipip())) == ("a", "tunnel-missing")


def test_a_tunnel_device_that_is_gone_is_named() -> None:
    there = without_route(world(tunnel=True), A)
    left = tuple(each for each in there.facts[A].links if each.name != "vxlan.calico")
    assert named(seen(there, A, links=left)) == ("a", "tunnel-missing")


def test_a_tunnel_that_ends_at_another_node_is_named() -> None:
    there = world(tunnel=True)
    moved = replace(there.nodes[B], ipv4_vxlan_tunnel_address=IPv4Address("10.244.1.9"))
    assert named(replace(there, nodes={**there.nodes, B: moved})) == ("a", "wrong-way")


@pytest.mark.parametrize("tables", [(), (NftTableFact("inet", "felix-py", {"input": 3}),)])
def test_a_translation_that_was_flushed_is_named(tables: tuple[NftTableFact, ...]) -> None:
    there = seen(world(pools=(pool(nat_outgoing=True),)), A, nft=tables)
    assert named(there, outside=True) == ("a", "nat-missing")
    assert named(there) is None


def test_a_pod_that_nobody_outside_can_answer_is_named() -> None:
    silent = said(
        world(), A, "bgp", {"sessions": [session(A, "down")], "announced": [str(BLOCK[A])]}
    )
    assert named(silent, outside=True) == ("outside", "no-way-back")


def test_a_node_without_a_default_route_is_named() -> None:
    there = world()
    wrong = [each for each in there.facts[A].lookups if each.destination == OUTSIDE]
    assert named(answered(there, A, wrong, errno.ENETUNREACH), outside=True) == ("a", "no-route")


def test_the_way_back_is_walked_like_the_way_there() -> None:
    there = world()
    lost = without_route(there, B)
    document = {"sessions": [session(B)], "announced": [str(BLOCK[B])]}
    assert named(seen(said(lost, B, "bgp", document), B, told=())) == ("b", "filtered")


def test_an_address_of_a_node_is_an_end_too() -> None:
    there = world()
    end = there.end(NODE_IP[B])
    assert (end.node, end.of_node) == (B, True)
    local = RouteFact(ip_network(NODE_IP[B]), "local")
    answers = (
        *there.facts[B].lookups,
        msgspec.structs.replace(there.facts[B].lookups[0], destination=NODE_IP[B], route=local),
    )
    found = explain(seen(there, B, lookups=answers), there.end(POD[A]), end)
    assert found.fault is None, found.fault
    assert node(B).name == B


def test_a_forward_chain_that_drops_pods_is_named() -> None:
    report = {"filter": {"stands": True, "forwardChains": {"ip filter FORWARD": "admitted"}}}
    assert named(said(world(), B, "felix", report)) is None
    report["filter"]["forwardChains"] = {"ip filter FORWARD": "refused"}
    assert named(said(world(), B, "felix", report)) == ("b", "forward-dropped")


def test_a_sender_that_the_far_node_does_not_know_is_named_where_it_tunnels() -> None:
    report = {"filter": {"stands": True}}
    for tunnel, expected in ((True, ("b", "sender-refused")), (False, None)):
        there = said(world(tunnel=tunnel), B, "felix", report)
        assert named(seen(there, B, strangers=(NODE_IP[A],))) == expected


def test_every_next_hop_of_several_is_looked_at() -> None:
    there = world()
    second = ip_address("10.1.0.2")
    both = RouteFact(
        BLOCK[B], protocol=81, hops=(HopFact("eth0", GATEWAY[A]), HopFact("eth0", second))
    )
    answers = [
        msgspec.structs.replace(each, route=both) if each.destination == POD[B] else each
        for each in there.facts[A].lookups
    ]
    there = seen(there, A, lookups=tuple(answers))
    assert named(there) is None
    silent = (*there.facts[A].neighbours, NeighbourFact("eth0", second, "", "failed"))
    assert named(seen(there, A, neighbours=silent)) == ("a", "stale-neighbour")


def inside(**changes: Any) -> PodFact:
    """a's pod as its own namespace has it."""
    gateway = ip_address("169.254.1.1")
    way = RouteFact(ip_network("0.0.0.0/0"), protocol=3, hops=(HopFact("eth0", gateway),))
    known = NeighbourFact("eth0", gateway, "ee:ee:ee:ee:ee:ee", "permanent")
    lookups = (LookupFact(POD[B], route=way),)
    pod = PodFact(VETH[A], "eth0", True, 1500, (POD[A],), lookups, (known,))
    return msgspec.structs.replace(pod, **changes)


def with_pod(pod: PodFact) -> World:
    """A healthy world in which a's pod was looked into."""
    there = with_link(world(), A, VETH[A], mac="ee:ee:ee:ee:ee:ee")
    return seen(there, A, pods=(pod,))


def test_a_healthy_pod_that_was_looked_into_names_nothing() -> None:
    found = judged(with_pod(inside()))
    assert found.fault is None
    assert found.steps[1].what.startswith("inside ns/pod-a")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"up": False}, "link-down"),
        ({"addresses": ()}, "pod-without-address"),
        ({"lookups": (LookupFact(POD[B], error=errno.ENETUNREACH),)}, "no-route"),
        ({"mtu": 9000}, "mtu"),
        (
            {
                "neighbours": (
                    NeighbourFact("eth0", ip_address("169.254.1.1"), "02:00:00:00:00:09", "stale"),
                )
            },
            "stale-neighbour",
        ),
    ],
)
def test_what_is_wrong_inside_a_pod_is_named(changes: dict[str, Any], fault: str) -> None:
    assert named(with_pod(inside(**changes))) == ("a", fault)


def test_a_healthy_ipip_tunnel_names_nothing() -> None:
    """Calico's tunl0: the route's gateway is the other node's own address."""
    there = world(pools=ipip())
    nodes = {
        name: replace(each, ipv4_ipip_tunnel_address=IPv4Address(str(VTEP[name])))
        for name, each in there.nodes.items()
    }
    there = replace(there, nodes=nodes)
    for name, other in ((A, B), (B, A)):
        way = RouteFact(
            BLOCK[other], protocol=80, metric=1024, hops=(HopFact("tunl0", NODE_IP[other], True),)
        )
        facts = there.facts[name]
        own = facts.lookup(POD[name])
        assert own is not None
        answers = [
            msgspec.structs.replace(each, route=way) if each.destination == POD[other] else each
            for each in facts.lookups
        ]
        arriving = LookupFact(POD[name], POD[other], "tunl0", route=own.route)
        tunl0 = LinkFact("tunl0", 11, "ipip", mtu=1480, up=True, running=True)
        there = seen(there, name, lookups=(*answers, arriving), links=(*facts.links, tunl0))
        there = with_link(there, name, VETH[name], mtu=1480)
    found = judged(there)
    assert found.fault is None, found.fault
    assert found.kind == "other node, ipip tunnel"
    assert named(with_link(there, A, "eth0", mtu=1490)) == ("a", "mtu")
