"""Who reaches whom how, and who writes the route: one function for every pair, pool and backend."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from itertools import product

import pytest

from felix_py.datastore.calc.reachability import (
    Backend,
    Reach,
    Terms,
    Way,
    Writer,
    reach,
    terms_of,
)
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import (
    EncapMode,
    IPAddress,
    IPPool,
    Metadata,
    Node,
    NodeName,
)
from felix_py.datastore.model_bgp import BGPConfiguration

BGP, FELIX = Terms(), Terms(felix_programs=True)
NO_BGP, VXLAN_ONLY = Terms(Backend.NONE), Terms(Backend.VXLAN)


def node(name: str, address: str, *, tunnels: bool = True) -> Node:
    number = sum(name.encode()) % 250 + 1
    four: IPAddress = ip_interface(f"10.244.255.{number}").ip
    return Node(
        Metadata(name),
        ipv4_address=ip_interface(address),  # type: ignore[arg-type]
        ipv6_address=ip_interface(f"fd00::{number:x}/64"),  # type: ignore[arg-type]
        ipv4_ipip_tunnel_address=four if tunnels else None,  # type: ignore[arg-type]
        ipv4_vxlan_tunnel_address=four if tunnels else None,  # type: ignore[arg-type]
        ipv6_vxlan_tunnel_address=ip_interface("fd00:10::1").ip if tunnels else None,  # type: ignore[arg-type]
    )


def pool(ipip: str = "Never", vxlan: str = "Never", cidr: str = "10.244.0.0/16") -> IPPool:
    network = ip_network(cidr)
    size = 26 if network.version == 4 else 122
    return IPPool(Metadata("p"), network, size, EncapMode(ipip), EncapMode(vxlan))


ME = node("me", "192.0.2.1/24")
NEAR = node("near", "192.0.2.2/24")
FAR = node("far", "198.51.100.1/24")


def short(found: Reach) -> str:
    return f"{found.way.value} by {found.writer.value}"


@pytest.mark.parametrize(
    ("wanted", "other", "terms", "answer"),
    [
        (pool(), NEAR, BGP, "direct by bgp"),
        (pool(), FAR, BGP, "direct by bgp"),
        (pool(), NEAR, FELIX, "direct by felix"),
        (pool(), FAR, FELIX, "direct by bgp"),
        (pool(), NEAR, NO_BGP, "direct by felix"),
        (pool(), FAR, NO_BGP, "none by felix"),
        (pool(), NEAR, VXLAN_ONLY, "none by felix"),
        (pool(ipip="CrossSubnet"), NEAR, BGP, "direct by bgp"),
        (pool(ipip="CrossSubnet"), FAR, BGP, "ipip by felix"),
        (pool(ipip="CrossSubnet"), NEAR, NO_BGP, "direct by felix"),
        (pool(ipip="CrossSubnet"), FAR, NO_BGP, "ipip by felix"),
        (pool(ipip="Always"), NEAR, BGP, "ipip by felix"),
        (pool(ipip="Always"), NEAR, VXLAN_ONLY, "none by felix"),
        (pool(vxlan="CrossSubnet"), NEAR, BGP, "direct by felix"),
        (pool(vxlan="CrossSubnet"), FAR, BGP, "vxlan by felix"),
        (pool(vxlan="CrossSubnet"), NEAR, VXLAN_ONLY, "direct by felix"),
        (pool(vxlan="Always"), NEAR, VXLAN_ONLY, "vxlan by felix"),
        (pool(vxlan="Always", cidr="fd00:244::/64"), NEAR, NO_BGP, "vxlan by felix"),
    ],
)
def test_the_way_and_its_writer(wanted: IPPool, other: Node, terms: Terms, answer: str) -> None:
    assert short(reach(ME, other, wanted, terms)) == answer


def test_a_tunnel_ends_at_the_node_that_etcd_names_and_goes_by_its_vtep() -> None:
    ipip = reach(ME, FAR, pool(ipip="Always"), BGP)
    assert ipip.far_end == ipip.gateway == ip_interface("198.51.100.1").ip
    vxlan = reach(ME, FAR, pool(vxlan="Always"), BGP)
    assert vxlan.far_end == ip_interface("198.51.100.1").ip
    assert vxlan.gateway == FAR.ipv4_vxlan_tunnel_address


@pytest.mark.parametrize("silent", ["me", "far"])
@pytest.mark.parametrize("mode", ["ipip", "vxlan"])
def test_a_pair_stays_direct_until_both_nodes_have_published(silent: str, mode: str) -> None:
    one = node("me", "192.0.2.1/24", tunnels=silent != "me")
    other = node("far", "198.51.100.1/24", tunnels=silent != "far")
    found = reach(one, other, pool(**{mode: "Always"}), BGP)
    assert short(found) == "direct by bgp"
    assert f"node {silent} has not published" in found.reason
    assert reach(one, other, pool(**{mode: "Always"}), NO_BGP).way is Way.NONE


def test_prefixes_that_disagree_tunnel_both_ways_and_say_so() -> None:
    wide, narrow = node("me", "192.0.2.1/24"), node("near", "192.0.2.130/25")
    there = reach(wide, narrow, pool(ipip="CrossSubnet"), BGP)
    back = reach(narrow, wide, pool(ipip="CrossSubnet"), BGP)
    assert (there.way, back.way) == (Way.IPIP, Way.IPIP)
    assert "correct the node whose prefix is wrong" in there.reason


def test_both_ends_of_a_pair_agree_on_the_way() -> None:
    nodes = [
        node(f"n{number}", address, tunnels=tunnels)
        for number, (address, tunnels) in enumerate(
            product(
                ["192.0.2.1/24", "192.0.2.9/24", "192.0.2.200/25", "10.0.0.1/32"], [True, False]
            )
        )
    ]
    pools = [
        *(pool(ipip=mode.value) for mode in EncapMode),
        *(pool(vxlan=mode.value) for mode in EncapMode),
    ]
    for wanted, terms in product(pools, (BGP, FELIX, NO_BGP, VXLAN_ONLY)):
        for one, other in product(nodes, nodes):
            forth, back = reach(one, other, wanted, terms), reach(other, one, wanted, terms)
            assert (forth.way, forth.writer) == (back.way, back.writer)


def test_a_node_without_an_address_of_the_family_is_not_reached_by_felix() -> None:
    silent = Node(Metadata("silent"))
    assert short(reach(ME, silent, pool(), NO_BGP)) == "none by felix"
    assert short(reach(ME, silent, pool(), BGP)) == "none by bgp"


def test_either_switch_hands_the_routes_to_felix() -> None:
    ours, calicos = (
        FelixConfiguration(program_cluster_routes=True),
        BGPConfiguration(Metadata("default"), program_cluster_routes=False),
    )
    assert terms_of(Backend.BGP, ours, {}).felix_programs
    assert terms_of(Backend.BGP, FelixConfiguration(), {"default": calicos}).felix_programs
    assert not terms_of(Backend.BGP, FelixConfiguration(), {}).felix_programs


def test_writers_are_named_as_the_owners_of_routes_are() -> None:
    assert {Writer.FELIX.value, Writer.BGP.value} == {"felix", "bgp"}
    assert NodeName("me") == ME.name
