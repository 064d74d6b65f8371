"""Addresses and sessions that follow from a topology."""

from __future__ import annotations

import pytest

from felix_py.lab import addressing, topology
from felix_py.lab.addressing import Router


def routers(name: str) -> dict[str, Router]:
    return {router.name: router for router in addressing.routers(topology.load(name))}


def neighbours(router: Router) -> dict[str, str]:
    return {session.peer_name: session.neighbour for session in router.sessions}


def test_nodes_follow_their_gateway_in_the_racks_subnet() -> None:
    lab = topology.load("default")
    assert str(addressing.tor_address(lab.racks[1])) == "10.10.2.1/24"
    assert str(addressing.node_address(lab, "node-b2")) == "10.10.2.12/24"


def test_no_two_machines_share_an_address() -> None:
    lab = topology.load("reflector")
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


@pytest.mark.parametrize("name", ["default", "rack-as", "reflector"])
def test_every_session_between_routers_is_configured_alike_on_both_sides(name: str) -> None:
    found = routers(name)
    for router in found.values():
        for session in router.sessions:
            if session.peer_name in found:
                other = found[session.peer_name]
                back = next(s for s in other.sessions if s.peer_name == router.name)
                assert (back.peer, back.local) == (session.local, session.peer)
                assert (back.peer_as, session.peer_as) == (router.as_number, other.as_number)
