"""Which sessions a node should have."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from bgp.calc.peerings import Sessions, sessions, wanted_secrets
from bgp.model import Family, Peering
from felix_py.datastore.model import AsNumber, Metadata, NodeName
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from tests.support.bgp_cluster import bgp_peer, node, snapshot

NODES = (
    node("node-1", "10.0.0.1/24", labels={"rack": "a"}),
    node("node-2", "10.0.0.2/24", labels={"rack": "a"}),
    node("node-3", "10.0.1.3/24", labels={"rack": "b"}, asn=65003),
)


def decide(secrets: dict[tuple[str, str], str] | None = None, **parts: Any) -> Sessions:
    return sessions(snapshot(**{"nodes": NODES, **parts}), secrets or {}, 1000)


def by_peer(found: Sessions) -> dict[str, Peering]:
    return {str(peering.peer): peering for peering in found.peerings}


def configuration(name: str = "default", **more: Any) -> BGPConfiguration:
    return BGPConfiguration(Metadata(name), **more)


def test_the_mesh_reaches_every_other_node_with_its_as() -> None:
    found = by_peer(decide())
    assert {peer: p.peer_as for peer, p in found.items()} == {"10.0.0.2": 64512, "10.0.1.3": 65003}
    one = found["10.0.0.2"]
    assert (one.local, one.local_as, one.port) == (IPv4Address("10.0.0.1"), 64512, 179)
    assert one.families == (Family.IPV4,)
    assert one.source == "mesh node-2"
    assert one.restart_seconds == 120
    assert not one.external
    assert found["10.0.1.3"].external


def test_without_a_node_object_there_are_no_sessions_and_the_status_says_so() -> None:
    found = sessions(snapshot(nodes=NODES[1:]), {}, 1000)
    assert found.peerings == ()
    assert "node-1" in found.warnings[0]


def test_the_mesh_can_be_switched_off() -> None:
    assert decide(configurations=[configuration(mesh_enabled=False)]).peerings == ()


def test_route_reflectors_are_outside_the_mesh_on_both_sides() -> None:
    reflector = node("node-2", "10.0.0.2/24", route_reflector_cluster_id="1.0.0.1")
    assert set(by_peer(decide(nodes=(NODES[0], reflector, NODES[2])))) == {"10.0.1.3"}
    me = node("node-1", "10.0.0.1/24", route_reflector_cluster_id="1.0.0.1")
    found = decide(nodes=(me, *NODES[1:]))
    assert found.peerings == ()
    assert "reflect" in found.warnings[0]


def test_each_family_has_sessions_between_addresses_of_its_own() -> None:
    nodes = (
        node("node-1", "10.0.0.1/24", "fd00::1/64"),
        node("node-2", "10.0.0.2/24", "fd00::2/64"),
    )
    found = by_peer(decide(nodes=nodes))
    assert found["fd00::2"].families == (Family.IPV6,)
    assert found["fd00::2"].local == ip_address("fd00::1")
    assert found["fd00::2"].router_id == IPv4Address("10.0.0.1")


def test_configuration_gives_as_number_port_restart_time_and_password() -> None:
    settings = configuration(
        as_number=AsNumber(65000),
        listen_port=1179,
        mesh_max_restart_seconds=30,
        mesh_password_secret=("bgp", "mesh"),
    )
    own = configuration("node.node-2", listen_port=2179)
    found = decide({("bgp", "mesh"): "s3cret"}, configurations=[settings, own])
    two, three = by_peer(found)["10.0.0.2"], by_peer(found)["10.0.1.3"]
    assert (two.local_as, two.peer_as, two.port) == (65000, 65000, 2179)
    assert (three.peer_as, three.port, three.restart_seconds) == (65003, 1179, 30)
    assert two.password == "s3cret"


def test_a_password_that_cannot_be_read_means_no_session() -> None:
    peer = bgp_peer("tor", peer_ip="10.0.0.254", as_number=65100, password_secret=("bgp", "tor"))
    found = decide(peers=[peer])
    assert "10.0.0.254" not in by_peer(found)
    assert "'bgp'" in found.refused["BGPPeer tor"]
    assert "s3cret" not in str(found.refused)
    assert wanted_secrets(snapshot(nodes=NODES, peers=[peer])) == {("bgp", "tor")}


def test_an_explicit_peer_carries_its_options() -> None:
    peer = bgp_peer(
        "tor",
        peer_ip="10.0.0.254",
        peer_port=1790,
        as_number=AsNumber(65100),
        local_as_number=AsNumber(65999),
        max_restart_seconds=45,
        allowed_local_as=2,
        ttl_security=1,
    )
    tor = by_peer(decide(peers=[peer]))["10.0.0.254"]
    assert (tor.port, tor.peer_as, tor.local_as) == (1790, 65100, 65999)
    assert (tor.restart_seconds, tor.allowed_local_as, tor.ttl_security) == (45, 2, 1)
    assert (tor.max_prefixes, tor.source) == (1000, "BGPPeer tor")


def test_a_peer_of_a_node_or_selector_counts_only_there() -> None:
    peers = [
        bgp_peer("a", peer_ip="10.0.0.251", as_number=1, node=NodeName("node-1")),
        bgp_peer("b", peer_ip="10.0.0.252", as_number=1, node=NodeName("node-2")),
        bgp_peer("c", peer_ip="10.0.0.253", as_number=1, node_selector="rack == 'a'"),
        bgp_peer("d", peer_ip="10.0.0.254", as_number=1, node_selector="rack == 'b'"),
    ]
    found = set(by_peer(decide(peers=peers)))
    assert found == {"10.0.0.251", "10.0.0.253", "10.0.0.2", "10.0.1.3"}


def test_a_peer_selector_names_every_matching_node_but_ourselves() -> None:
    off = configuration(mesh_enabled=False)
    found = by_peer(decide(peers=[bgp_peer("x", peer_selector="all()")], configurations=[off]))
    assert set(found) == {"10.0.0.2", "10.0.1.3"}
    assert found["10.0.1.3"].peer_as == 65003


def test_a_selector_that_matches_nothing_is_a_warning() -> None:
    found = decide(peers=[bgp_peer("x", peer_selector="rack == 'z'")])
    assert any(
        "BGPPeer x" in warning and "matches no node" in warning for warning in found.warnings
    )


def test_a_global_peer_wins_over_one_of_the_node_which_wins_over_the_mesh() -> None:
    mine = bgp_peer("a", peer_ip="10.0.0.2", as_number=64512, node=NodeName("node-1"))
    assert by_peer(decide(peers=[mine]))["10.0.0.2"].source == "BGPPeer a"
    everywhere = bgp_peer("z", peer_ip="10.0.0.2", as_number=64512)
    found = by_peer(decide(peers=[mine, everywhere]))
    assert found["10.0.0.2"].source == "BGPPeer z"


def test_of_two_equal_peers_the_smaller_name_wins() -> None:
    peers = [bgp_peer(name, peer_ip="10.0.0.9", as_number=AsNumber(1)) for name in ("b", "a")]
    assert by_peer(decide(peers=peers))["10.0.0.9"].source == "BGPPeer a"


def test_our_own_address_is_no_peer() -> None:
    assert "10.0.0.1" not in by_peer(decide(peers=[bgp_peer("x", peer_ip="10.0.0.1", as_number=1)]))


def test_what_is_not_served_is_refused_or_warned_of_by_name() -> None:
    peers = [
        bgp_peer("filtered", peer_ip="10.0.0.7", as_number=1, filters=("f1",)),
        bgp_peer("local-workload"),
        bgp_peer("no-as", peer_ip="10.0.0.8"),
        bgp_peer("gateway", peer_ip="10.0.0.6", as_number=1, reachable_by=ip_address("10.0.0.254")),
        bgp_peer("broken", node_selector="rack ==", peer_ip="10.0.0.5", as_number=1),
    ]
    found = decide(peers=peers)
    assert "f1" in found.refused["BGPPeer filtered"]
    assert "localWorkloadSelector" in found.refused["BGPPeer local-workload"]
    assert "asNumber" in found.refused["BGPPeer no-as"]
    assert "nodeSelector" in found.refused["BGPPeer broken"]
    assert any("reachableBy" in warning for warning in found.warnings)
    assert "10.0.0.6" in by_peer(found)


def test_an_ipv6_peer_needs_our_ipv6_address() -> None:
    found = decide(peers=[bgp_peer("six", peer_ip="fd00::9", as_number=1)])
    assert "ipv6Address" in found.refused["BGPPeer six"]


BOTH = {"felix-py.io/families": "ipv4,ipv6"}
SIX = node("node-1", "10.0.0.1/24", "fd00::1/64")


def annotated(annotations: dict[str, str], **more: Any) -> BGPPeer:
    return replace(
        bgp_peer("tor", as_number=1, **more), meta=Metadata("tor", annotations=annotations)
    )


def test_a_peers_session_carries_both_families_when_its_annotation_says_so() -> None:
    found = by_peer(decide(nodes=(SIX,), peers=[annotated(BOTH, peer_ip="10.0.0.9")]))["10.0.0.9"]
    assert found.families == (Family.IPV4, Family.IPV6)
    assert (str(found.next_hop(4)), str(found.next_hop(6))) == ("10.0.0.1", "fd00::1")


def test_without_an_address_of_the_other_family_the_session_carries_its_own() -> None:
    sessions = decide(peers=[annotated(BOTH, peer_ip="10.0.0.9")])
    found = by_peer(sessions)["10.0.0.9"]
    assert found.families == (Family.IPV4,)
    assert found.next_hop(6) is None
    assert any("no IPv6 address" in warning for warning in sessions.warnings)


@pytest.mark.parametrize("text", ["ipv5", "ipv6", "ipv4;ipv6", ""])
def test_families_that_make_no_sense_are_refused_by_name(text: str) -> None:
    peer = annotated({"felix-py.io/families": text}, peer_ip="10.0.0.9")
    assert repr(text) in decide(nodes=(SIX,), peers=[peer]).refused["BGPPeer tor"]


def test_sessions_between_nodes_keep_a_family_each() -> None:
    nodes = (SIX, node("node-2", "10.0.0.2/24", "fd00::2/64"))
    sessions = decide(nodes=nodes, peers=[annotated(BOTH, peer_selector="all()")])
    found = by_peer(sessions)
    assert found["10.0.0.2"].families == (Family.IPV4,)
    assert found["fd00::2"].families == (Family.IPV6,)
    assert any("passed over" in warning for warning in sessions.warnings)
