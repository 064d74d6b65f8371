"""Addresses and sessions that follow from a topology."""

from __future__ import annotations

import pytest

from felix_py.lab import addressing, bgp_plan, topology_file
from felix_py.lab.bgp_plan import Router


def routers(name: str) -> dict[str, Router]:
    return {router.name: router for router in bgp_plan.routers(topology_file.load(name))}


def neighbours(router: Router) -> dict[str, str]:
    return {session.name: session.neighbour for session in router.sessions}


def test_nodes_follow_their_gateway_in_the_racks_subnet() -> None:
    lab = topology_file.load("default")
    assert str(addressing.tor_address(lab.racks[1])) == "10.10.2.1/24"
    assert str(addressing.node_address(lab, "node-b2")) == "10.10.2.12/24"


def test_no_two_machines_share_an_address() -> None:
    lab = topology_file.load("reflector")
    nodes = [node.name for _, node in lab.nodes]
    given = [
        *(addressing.node_address(lab, node).ip for node in nodes),
        *(addressing.management_address(lab, node).ip for node in nodes),
        *(addressing.tor_address(rack).ip for rack in lab.racks),
        addressing.etcd_address(lab).ip,
        addressing.reflector_address(lab).ip,
        *(link.first_address.ip for link in addressing.spine_links(lab)),
        *(link.second_address.ip for link in addressing.spine_links(lab)),
    ]
    assert len(given) == len(set(given))


def test_a_tor_of_the_default_topology_speaks_ebgp_with_its_nodes_and_the_spine() -> None:
    assert neighbours(routers("default")["tor-a"]) == {
        "node-a1": "node-external",
        "node-a2": "node-external",
        "tor-b": "spine",
    }


def test_a_tor_of_rack_as_reflects_inside_its_own_as() -> None:
    tor = routers("rack-as")["tor-b"]
    assert neighbours(tor)["node-b1"] == "node-reflect"
    assert {s.peer_as for s in tor.sessions if s.neighbour == "node-reflect"} == {tor.as_number}


def test_the_reflector_has_every_node_as_client_and_feeds_the_tors() -> None:
    found = routers("reflector")
    assert neighbours(found["reflector"]) == {
        "node-a1": "client",
        "node-a2": "client",
        "node-b1": "client",
        "node-b2": "client",
        "tor-a": "collector",
        "tor-b": "collector",
    }
    assert neighbours(found["tor-a"]) == {"tor-b": "spine", "reflector": "reflector"}


def test_each_family_has_sessions_of_its_own_unless_they_share_one() -> None:
    found = routers("dual-stack")["tor-a"]
    assert {s.name: s.versions for s in found.sessions if s.peer_name == "node-a1"} == {
        "node-a1": (4,),
        "node-a1-v6": (6,),
    }
    text = (topology_file.SHIPPED / "dual-stack.yaml").read_text()
    lab = topology_file.parse(text.replace("kind: frr", "kind: frr, ipv6Over: ipv4"), "mine")
    shared = next(router for router in bgp_plan.routers(lab) if router.name == "tor-b")
    assert {s.name: s.versions for s in shared.sessions if s.peer_name == "node-b1"} == {
        "node-b1": (4, 6)
    }


def test_in_ipv6_everything_has_the_same_place_in_its_subnet() -> None:
    lab = topology_file.load("dual-stack")
    assert str(addressing.tor_address(lab.racks[1], 6)) == "fd00:10:2::1/64"
    assert str(addressing.node_address(lab, "node-b2", 6)) == "fd00:10:2::c/64"
    [link] = addressing.spine_links(lab, 6)
    assert (str(link.first_address), str(link.second_address)) == (
        "fd00:10:255::/127",
        "fd00:10:255::1/127",
    )


def test_a_tor_announces_its_rack_its_loopback_and_the_hosts_behind_it() -> None:
    assert routers("dual-stack")["tor-a"].networks == (
        "10.10.1.0/24",
        "198.51.100.1/32",
        "fd00:10:1::/64",
        "2001:db8:100::1/128",
    )
    assert "203.0.113.0/24" in routers("plain")["gateway"].networks


def test_routers_of_nodes_without_bgp_speak_with_one_another_alone() -> None:
    assert neighbours(routers("vxlan")["tor-a"]) == {"tor-b": "spine", "tor-b-v6": "spine"}
    assert neighbours(routers("plain")["gateway"]) == {}


@pytest.mark.parametrize("name", topology_file.shipped())
def test_every_session_between_routers_is_configured_alike_on_both_sides(name: str) -> None:
    found = routers(name)
    for router in found.values():
        for session in router.sessions:
            if session.peer_name in found:
                other = found[session.peer_name]
                back = next(
                    s
                    for s in other.sessions
                    if (s.peer_name, s.versions) == (router.name, session.versions)
                )
                assert (back.peer, back.local) == (session.local, session.peer)
                assert (back.peer_as, session.peer_as) == (router.as_number, other.as_number)
