"""The switches of pods' links and of the host."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from felix_py.agent.calc import endpoint_settings as calc
from felix_py.agent.snapshot import Claim, Snapshot
from felix_py.datastore.model import IPPool, Metadata, PoolName
from felix_py.kernel.model import Link, LinkSettings, NextHop, Route, RouteKey
from tests.unit.agent.builders import ME, cali, endpoint, endpoint_key, snapshot_of


def local(*links: Link, address: str = "10.244.0.7/32") -> Snapshot:
    return snapshot_of([Claim(endpoint_key("a"), endpoint("a", address), 1)], *links)


def test_a_pods_link_forwards_answers_arp_and_is_strict_about_sources() -> None:
    assert calc.settings_of("cali1", local(cali()), ipv6=False) == LinkSettings(
        forwarding4=True, proxy_arp=True, rp_filter=1, route_localnet=False, proxy_delay=0
    )


def test_with_ipv6_a_pods_link_takes_no_router_advertisements() -> None:
    wish = calc.settings_of("cali1", local(cali()), ipv6=True)
    assert wish is not None
    assert (wish.forwarding6, wish.proxy_ndp, wish.accept_ra) == (True, True, 0)


def test_links_without_an_endpoint_of_their_own_are_left_alone() -> None:
    assert calc.settings_of("cali2", local(cali("cali2")), ipv6=True) is None
    assert calc.settings_of("cali1", local(cali(alias="net.other")), ipv6=True) is None


def test_ipv6_forwarding_is_switched_on_only_where_ipv6_is_used() -> None:
    pool6 = IPPool(Metadata("six"), ip_network("fd00::/64"), 122)
    assert calc.host_settings(local()) == LinkSettings(forwarding4=True)
    assert calc.host_settings(local(address="fd00::7/128")).forwarding6
    assert calc.host_settings(Snapshot(ME, pools={PoolName("six"): pool6})).forwarding6


ACCEPTING = LinkSettings(accept_ra=1)
LINKS = [
    Link(index, name, kind, settings=ACCEPTING)
    for index, (name, kind) in enumerate(
        [("lo", ""), ("eth0", ""), ("veth1", "veth"), ("br0", "bridge"), ("cali1", "veth")], 1
    )
]


def default(text: str, ifindex: int, protocol: int) -> Route:
    return Route(RouteKey(ip_network(text), 1024), protocol, next_hops=(NextHop(ifindex),))


def test_uplinks_that_live_on_router_advertisements_are_found() -> None:
    advertised = default("::/0", 3, 9)
    assert calc.uplinks_on_advertisements(LINKS, [advertised]) == ("eth0", "veth1")
    off = [replace(link, settings=LinkSettings(accept_ra=0)) for link in LINKS]
    assert calc.uplinks_on_advertisements(off, [advertised]) == ()


def test_an_uplink_whose_first_advertisement_is_still_to_come_is_found() -> None:
    """A bridge that IPv4 leaves by; a bond by its kind. Another bridge may well be a container's."""
    assert calc.uplinks_on_advertisements(LINKS, [default("0.0.0.0/0", 4, 16)]) == ("br0", "eth0")
    bond = Link(9, "bond0", "bond", settings=ACCEPTING)
    assert calc.uplinks_on_advertisements([bond, LINKS[3]], []) == ("bond0",)


def test_a_pods_link_never_lives_on_advertisements() -> None:
    assert calc.uplinks_on_advertisements(LINKS[4:], [default("::/0", 5, 9)]) == ()
