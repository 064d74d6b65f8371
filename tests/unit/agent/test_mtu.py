"""How large packets may be on the underlay, in tunnels and in pods."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from felix_py.agent.calc.mtu import Encapsulation, decide
from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import EncapMode, IPPool, Metadata
from felix_py.kernel.model import Link

ETH0 = Link(2, "eth0", mtu=1500, up=True)


def pool(
    cidr: str = "10.244.0.0/16",
    *,
    ipip: EncapMode = EncapMode.NEVER,
    vxlan: EncapMode = EncapMode.NEVER,
    disabled: bool = False,
) -> IPPool:
    network = ip_network(cidr)
    return IPPool(Metadata(cidr), network, 26, ipip_mode=ipip, vxlan_mode=vxlan, disabled=disabled)


IPIP = pool(ipip=EncapMode.CROSS_SUBNET)
VXLAN = pool("10.245.0.0/16", vxlan=EncapMode.ALWAYS)
VXLAN6 = pool("fd00::/64", vxlan=EncapMode.CROSS_SUBNET)


@pytest.mark.parametrize(
    ("pools", "pod"),
    [
        ([], 1500),
        ([pool()], 1500),
        ([IPIP], 1480),
        ([VXLAN], 1450),
        ([VXLAN6], 1430),
        ([IPIP, VXLAN], 1450),
        ([pool(), IPIP, VXLAN, VXLAN6], 1430),
    ],
)
def test_a_pod_gets_what_fits_every_enabled_encapsulation(pools: list[IPPool], pod: int) -> None:
    assert decide([ETH0], pools, FelixConfiguration()).pod == pod


def test_the_host_has_the_smallest_mtu_of_its_uplinks_that_are_up() -> None:
    links = [
        ETH0,
        Link(3, "enp1s0", mtu=9000, up=True),
        Link(4, "eth1", mtu=1400, up=True),
        Link(5, "eth2", mtu=1300, up=False),
        Link(6, "docker0", mtu=1200, up=True),
    ]
    assert decide(links, [], FelixConfiguration()).host == 1400


def test_pods_links_and_tunnels_are_no_uplinks_whatever_the_pattern() -> None:
    links = [
        ETH0,
        Link(3, "cali123", kind="veth", mtu=1280, up=True),
        Link(4, "tunl0", kind="ipip", mtu=1480, up=True),
        Link(5, "vxlan.calico", kind="vxlan", mtu=1450, up=True),
    ]
    assert decide(links, [IPIP, VXLAN], FelixConfiguration(mtu_interface_pattern=".*")).host == 1500


def test_a_configured_pattern_replaces_the_default() -> None:
    links = [ETH0, Link(3, "bond0", mtu=9000, up=True)]
    assert decide(links, [], FelixConfiguration(mtu_interface_pattern="^bond")).host == 9000


def test_without_an_uplink_the_host_counts_as_1460_and_says_so() -> None:
    found = decide([Link(1, "lo", mtu=65536, up=True)], [IPIP], FelixConfiguration())
    assert (found.host, found.host_is_known, found.pod) == (1460, False, 1440)


def test_each_tunnel_gets_what_is_left_of_the_host() -> None:
    assert decide([ETH0], [], FelixConfiguration()).tunnels == {
        Encapsulation.IPIP: 1480,
        Encapsulation.VXLAN: 1450,
        Encapsulation.VXLAN6: 1430,
    }


def test_a_configured_tunnel_mtu_counts_for_pods_only_while_that_tunnel_is_enabled() -> None:
    configuration = FelixConfiguration(ipip_mtu=1300, vxlan_mtu=1200, vxlan_mtu_v6=1280)
    assert decide([ETH0], [], configuration).pod == 1500
    assert decide([ETH0], [IPIP], configuration).pod == 1300
    assert decide([ETH0], [IPIP, VXLAN], configuration).pod == 1200
    assert decide([ETH0], [VXLAN6], configuration).tunnels[Encapsulation.VXLAN6] == 1280


def test_a_configured_tunnel_mtu_above_the_uplinks_makes_no_pod_larger_than_the_host() -> None:
    assert decide([ETH0], [IPIP], FelixConfiguration(ipip_mtu=9000)).pod == 1500


def test_a_disabled_pool_counts_because_its_pods_live_on() -> None:
    old = pool(ipip=EncapMode.ALWAYS, disabled=True)
    assert decide([ETH0], [old], FelixConfiguration()).pod == 1480


def test_configuration_outweighs_the_pools() -> None:
    assert decide([ETH0], [], FelixConfiguration(ipip_enabled=True)).pod == 1480
    assert decide([ETH0], [], FelixConfiguration(vxlan_enabled=True)).pod == 1450
    assert decide([ETH0], [VXLAN6], FelixConfiguration(vxlan_enabled=True)).pod == 1430
    off = FelixConfiguration(ipip_enabled=False, vxlan_enabled=False)
    assert decide([ETH0], [IPIP, VXLAN, VXLAN6], off).pod == 1500
