"""A BGP next hop through the underlay's routes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from bgp.calc.next_hops import MAX_NEXT_HOPS, Underlay, Unresolved
from felix_py.kernel.model import Link, NextHop, Route, RouteKey, RouteKind

LINKS = (
    Link(2, "eth0", up=True),
    Link(3, "eth1", up=True),
    Link(4, "eth2"),
    Link(9, "cali1", up=True),
)


def route(prefix: str, *hops: tuple[int, str | None], metric: int = 0, protocol: int = 2) -> Route:
    next_hops = tuple(NextHop(i, ip_address(g) if g else None) for i, g in hops)
    return Route(RouteKey(ip_network(prefix), metric), protocol, next_hops=next_hops)


UNDERLAY = (route("10.0.0.0/24", (2, None)), route("0.0.0.0/0", (2, "10.0.0.254"), metric=100))


def resolve(*routes: Route, to: str = "10.0.0.2") -> object:
    return Underlay(routes, LINKS).resolve(ip_address(to))


def test_an_on_link_next_hop_is_its_own_gateway() -> None:
    assert resolve(*UNDERLAY) == (NextHop(2, ip_address("10.0.0.2")),)


def test_a_next_hop_behind_the_tor_goes_by_way_of_the_tor() -> None:
    assert resolve(*UNDERLAY, to="10.9.0.2") == (NextHop(2, ip_address("10.0.0.254")),)


def test_the_longest_prefix_wins_then_the_lowest_metric() -> None:
    routes = (
        *UNDERLAY,
        route("10.9.0.0/24", (3, "10.1.0.9"), metric=20),
        route("10.9.0.0/24", (3, "10.1.0.8"), metric=10),
    )
    assert resolve(*routes, to="10.9.0.2") == (NextHop(3, ip_address("10.1.0.8")),)


def test_several_ways_of_the_underlay_are_all_used() -> None:
    found = resolve(route("10.9.0.0/24", (3, "10.1.0.9"), (2, "10.0.0.254")), to="10.9.0.2")
    assert found == (NextHop(2, ip_address("10.0.0.254")), NextHop(3, ip_address("10.1.0.9")))


def test_our_own_routes_lead_nowhere() -> None:
    ours = (
        route("10.0.0.0/24", (2, "10.0.0.9"), protocol=81),
        route("10.0.0.2/32", (9, None), protocol=80),
    )
    assert isinstance(resolve(*ours), Unresolved)


def test_links_that_are_down_and_blackholes_are_no_way() -> None:
    assert isinstance(resolve(route("10.0.0.0/24", (4, None))), Unresolved)
    hole = Route(RouteKey(ip_network("10.9.0.0/16"), 0), 4, RouteKind.BLACKHOLE)
    found = resolve(*UNDERLAY, hole, to="10.9.0.2")
    assert isinstance(found, Unresolved)
    assert "leads nowhere" in found.reason


def test_a_pods_address_is_no_next_hop() -> None:
    found = resolve(route("10.244.1.5/32", (9, None), protocol=3), to="10.244.1.5")
    assert found == Unresolved("10.244.1.5 is a pod's address")


def test_onlink_gateways_are_followed_but_never_copied() -> None:
    hop = NextHop(2, ip_address("10.0.0.254"), onlink=True)
    far = Route(RouteKey(ip_network("10.9.0.0/16"), 0), 4, next_hops=(hop,))
    assert resolve(*UNDERLAY, far, to="10.9.0.2") == (NextHop(2, ip_address("10.0.0.254")),)
    loop = Route(RouteKey(ip_network("0.0.0.0/0"), 0), 4, next_hops=(hop,))
    assert isinstance(resolve(loop, to="10.9.0.2"), Unresolved)


def test_ipv6_is_resolved_likewise() -> None:
    found = resolve(route("fd00::/64", (2, None)), route("::/0", (2, "fe80::1")), to="fd09::2")
    assert found == (NextHop(2, ip_address("fe80::1")),)


def test_several_bgp_next_hops_share_one_route_within_its_bound() -> None:
    underlay = Underlay(UNDERLAY, LINKS)
    many = tuple(ip_address(f"10.0.0.{i}") for i in range(10, 40))
    found = underlay.resolve_all(many)
    assert found == tuple(NextHop(2, address) for address in many[:MAX_NEXT_HOPS])


def test_one_next_hop_without_a_way_does_not_harm_the_others() -> None:
    underlay = Underlay(UNDERLAY[:1], LINKS)
    good, bad = ip_address("10.0.0.2"), ip_address("10.9.0.2")
    assert underlay.resolve_all((good, bad)) == (NextHop(2, good),)
    assert underlay.unresolved() == {bad: "no route to 10.9.0.2"}
    assert isinstance(underlay.resolve_all((bad, ip_address("10.8.0.2"))), Unresolved)
