"""Which tunnel devices a node should have, and what each should be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_network,
)
from typing import Any

import pytest

from felix_py.agent.calc import mtu, tunnels
from felix_py.agent.calc.mtu import Encapsulation
from felix_py.agent.calc.tunnels import TunnelDecision
from felix_py.agent.managers.far_ends import LINGER_SECONDS, FarEnds
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.calc import vtep
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import (
    EncapMode,
    IPPool,
    Metadata,
    Node,
    NodeName,
    PoolName,
    Stored,
)
from felix_py.kernel.model import Link, LinkSettings
from felix_py.kernel.tunnel_model import Vtep, VxlanShape
from tests.unit.agent.builders import ME, OTHER, stored

ALWAYS, CROSS = EncapMode.ALWAYS, EncapMode.CROSS_SUBNET
UPLINK = Link(2, "eth0", mtu=1500, up=True, settings=LinkSettings(rp_filter=0))
HELD = {
    "ipipTunnelAddress": IPv4Address("10.244.0.1"),
    "vxlanTunnelAddress": IPv4Address("10.245.0.1"),
    "vxlanV6TunnelAddress": IPv6Address("fd00:244::1"),
}


def node(name: NodeName, last: int, **more: Any) -> Stored[Node]:
    return stored(
        Node(
            Metadata(name),
            ipv4_address=IPv4Interface(f"10.0.0.{last}/24"),
            ipv6_address=IPv6Interface(f"fd00::{last}/64"),
            **more,
        )
    )


def pool(name: str, cidr: str, **more: Any) -> IPPool:
    return IPPool(Metadata(name), ip_network(cidr), 26, **more)


def snapshot(*pools: IPPool, **more: Any) -> Snapshot:
    values: dict[str, Any] = {
        "me": ME,
        "pools": {PoolName(each.name): each for each in pools},
        "nodes": {ME: node(ME, 1), OTHER: node(OTHER, 2)},
        "tunnel_addresses": HELD,
        "uplinks": {4: 2, 6: 2},
    }
    return Snapshot(**{**values, **more})


def decide(seen: Snapshot, links: Iterable[Link] = (UPLINK,)) -> TunnelDecision:
    return tunnels.decide(seen, mtu.decide(links, seen.pools.values(), seen.configuration))


IPIP = pool("ipip", "10.244.0.0/16", ipip_mode=CROSS)
VXLAN = pool("vxlan", "10.245.0.0/16", vxlan_mode=ALWAYS)
VXLAN6 = pool("six", "fd00:244::/64", vxlan_mode=ALWAYS)


@pytest.mark.parametrize(
    ("name", "version", "mac"),
    [
        ("worker-1", 4, "66:93:7f:54:d5:53"),
        ("worker-2", 4, "66:e2:6c:ca:0c:ad"),
        ("worker-1", 6, "66:d8:48:96:ab:01"),
    ],
)
def test_a_vtep_mac_is_derived_as_calico_derives_it(name: str, version: int, mac: str) -> None:
    assert vtep.derived_mac(name, version) == mac


def test_the_mac_that_a_node_object_names_counts() -> None:
    said = Node(Metadata("worker-1"), vxlan_tunnel_mac="66:AA:00:00:00:01")
    assert vtep.mac_of(said, 4) == "66:aa:00:00:00:01"
    assert vtep.mac_of(said, 6) == "66:d8:48:96:ab:01"


def test_without_a_pool_that_asks_there_is_no_tunnel() -> None:
    assert decide(snapshot(pool("plain", "10.244.0.0/16"))) == TunnelDecision()


def test_an_ipip_pool_wants_tunl0_with_the_address_that_ipam_gave() -> None:
    found = decide(snapshot(IPIP))
    assert found.lacking == {}
    wish = found.wishes[Encapsulation.IPIP]
    assert (wish.name, wish.link_kind, wish.mtu) == ("tunl0", "ipip", 1480)
    assert (wish.address, wish.shape, wish.remotes) == (IPv4Address("10.244.0.1"), None, {})


def test_a_vxlan_pool_wants_a_device_on_the_link_of_the_nodes_address() -> None:
    wish = decide(snapshot(VXLAN)).wishes[Encapsulation.VXLAN]
    assert (wish.name, wish.mtu, wish.mac) == ("vxlan.calico", 1450, "66:93:7f:54:d5:53")
    assert wish.shape == VxlanShape(4096, 4789, IPv4Address("10.0.0.1"), 2)


def test_port_and_vni_are_felix_configurations() -> None:
    configuration = FelixConfiguration(vxlan_port=8472, vxlan_vni=7, vxlan_mtu=1400)
    wish = decide(snapshot(VXLAN, configuration=configuration)).wishes[Encapsulation.VXLAN]
    assert wish.shape == VxlanShape(7, 8472, IPv4Address("10.0.0.1"), 2)
    assert wish.mtu == 1400


def test_far_ends_are_the_nodes_that_published_theirs() -> None:
    published = {"ipv4_vxlan_tunnel_address": IPv4Address("10.245.9.1")}
    nodes = {
        ME: node(ME, 1, ipv4_vxlan_tunnel_address=IPv4Address("10.245.0.1")),
        OTHER: node(OTHER, 2, **published),
        NodeName("worker-3"): node(NodeName("worker-3"), 3),
        NodeName("worker-4"): node(
            NodeName("worker-4"),
            4,
            ipv4_vxlan_tunnel_address=IPv4Address("10.245.9.4"),
            vxlan_tunnel_mac="66:00:00:00:00:04",
        ),
    }
    wish = decide(snapshot(VXLAN, nodes=nodes)).wishes[Encapsulation.VXLAN]
    assert wish.remotes == {
        IPv4Address("10.245.9.1"): Vtep("66:e2:6c:ca:0c:ad", IPv4Address("10.0.0.2")),
        IPv4Address("10.245.9.4"): Vtep("66:00:00:00:00:04", IPv4Address("10.0.0.4")),
    }


def test_vxlan_for_ipv6_has_a_device_of_its_own() -> None:
    found = decide(snapshot(VXLAN6))
    wish = found.wishes[Encapsulation.VXLAN6]
    assert set(found.wishes) == {Encapsulation.VXLAN6}
    assert (wish.name, wish.mtu, wish.mac) == ("vxlan-v6.calico", 1430, "66:d8:48:96:ab:01")
    assert wish.shape == VxlanShape(4096, 4789, IPv6Address("fd00::1"), 2)
    assert wish.address == IPv6Address("fd00:244::1")


def test_ipv6_switched_off_means_no_device_for_it() -> None:
    configuration = FelixConfiguration(ipv6_support=False)
    assert decide(snapshot(VXLAN6, configuration=configuration)) == TunnelDecision()


def test_felix_configuration_switches_a_tunnel_off_and_on() -> None:
    off = FelixConfiguration(ipip_enabled=False)
    assert decide(snapshot(IPIP, configuration=off)) == TunnelDecision()
    on = FelixConfiguration(ipip_enabled=True)
    assert set(decide(snapshot(configuration=on)).wishes) == {Encapsulation.IPIP}


def test_without_an_address_of_ipam_the_device_is_made_and_says_what_it_waits_for() -> None:
    found = decide(snapshot(IPIP, tunnel_addresses={}))
    assert found.wishes[Encapsulation.IPIP].address is None
    assert "IPAM" in found.lacking[Encapsulation.IPIP]


@pytest.mark.parametrize(
    ("more", "why"),
    [({"uplinks": {}}, "is on no link"), ({"nodes": {}}, "has no IPv4 address")],
)
def test_a_vxlan_device_needs_the_nodes_address_on_a_link(more: Any, why: str) -> None:
    found = decide(snapshot(VXLAN, **more))
    assert found.wishes == {}
    assert why in found.lacking[Encapsulation.VXLAN]


def test_pools_that_wait_for_a_tunnel_are_named_with_their_mode() -> None:
    seen = snapshot(IPIP, VXLAN, VXLAN6)
    assert tunnels.users(Encapsulation.IPIP, seen) == ["pool ipip, ipipMode CrossSubnet"]
    assert tunnels.users(Encapsulation.VXLAN, seen) == ["pool vxlan, vxlanMode Always"]
    assert tunnels.users(Encapsulation.VXLAN6, seen) == ["pool six, vxlanMode Always"]


@pytest.mark.parametrize(
    ("own", "everywhere", "named"), [(1, 0, True), (0, 1, True), (2, 1, False), (0, 0, False)]
)
def test_a_strict_underlay_is_named(own: int, everywhere: int, named: bool) -> None:  # noqa: FBT001
    seen = snapshot(IPIP)
    uplink = replace(UPLINK, settings=LinkSettings(rp_filter=own))
    said = list(tunnels.advice(seen, decide(seen), {2: uplink}, everywhere))
    assert bool(said) is named
    assert all("rp_filter" in each and "eth0" in each for each in said)


def test_a_node_address_without_a_subnet_is_named_where_it_matters() -> None:
    alone = stored(Node(Metadata(ME), ipv4_address=IPv4Interface("10.0.0.1/32")))
    seen = snapshot(IPIP, VXLAN, nodes={ME: alone})
    said = list(tunnels.advice(seen, decide(seen), {}, 0))
    assert len(said) == 1
    assert "ipipMode CrossSubnet of pool ipip" in said[0]


def test_a_far_end_stays_until_routes_have_left_it() -> None:
    one, other = ip_address("10.245.9.1"), ip_address("10.245.9.2")
    end = Vtep("66:00:00:00:00:01", IPv4Address("10.0.0.2"))
    rest = Vtep("66:00:00:00:00:02", IPv4Address("10.0.0.3"))
    ends = FarEnds()
    ends.update({one: end, other: rest}, 0.0)
    ends.update({other: rest}, 10.0)
    assert ends.current == {one: end, other: rest}
    assert not ends.expire(10.0 + LINGER_SECONDS - 0.1)
    assert ends.expire(10.0 + LINGER_SECONDS)
    assert ends.current == {other: rest}


def test_a_far_end_with_a_new_address_has_its_mac_at_once() -> None:
    end = Vtep("66:00:00:00:00:01", IPv4Address("10.0.0.2"))
    ends = FarEnds()
    ends.update({ip_address("10.245.9.1"): end}, 0.0)
    ends.update({ip_address("10.245.9.7"): end}, 1.0)
    assert ends.current == {ip_address("10.245.9.7"): end}
