"""The adapter against the real kernel, seen with iproute2's eyes."""

from __future__ import annotations

import errno
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import (
    DropRoute,
    LinkSettings,
    NextHop,
    PutRoute,
    Route,
    RouteKey,
    RouteKind,
    Scope,
)
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from tests.functional.kernel.conftest import Host
from tests.support import netns

pytestmark = pytest.mark.root


def route(prefix: str, *hops: NextHop, metric: int = 1024, protocol: int = 80) -> Route:
    return Route(RouteKey(ip_network(prefix), metric), protocol, next_hops=hops)


def every_shape(host: Host) -> list[Route]:
    """One of each kind of route that we write."""
    one = NextHop(host.up0, ip_address("10.0.0.2"))
    two = NextHop(host.up1, ip_address("10.0.1.2"), weight=3)
    six = NextHop(host.up0, ip_address("fd00::2"))
    six_two = NextHop(host.up1, ip_address("fd01::2"))
    return [
        route("192.0.2.0/26", one),
        route("192.0.2.64/26", one, two),
        Route(RouteKey(ip_network("192.0.2.128/26"), 1024), 80, RouteKind.BLACKHOLE),
        Route(
            RouteKey(ip_network("198.51.100.7/32"), 1024),
            80,
            next_hops=(NextHop(host.up0),),
            scope=Scope.LINK,
            source=ip_address("10.0.0.1"),
        ),
        route("203.0.113.0/24", NextHop(host.up0, ip_address("172.16.9.9"), onlink=True)),
        Route(
            RouteKey(ip_network("203.0.113.0/24"), 7, table=4711),
            80,
            next_hops=(NextHop(host.up0, ip_address("fd00::2")),),
        ),
        route("0.0.0.0/0", one),
        route("2001:db8:1::/64", six),
        route("2001:db8:2::/64", six, six_two),
        Route(RouteKey(ip_network("2001:db8:3::/64"), 1024), 80, RouteKind.BLACKHOLE),
        route("2001:db8:4::7/128", NextHop(host.up0)),
        route("::/0", six),
    ]


def administrators_routes(host: Host) -> None:
    """Routes of protocol boot at the metric that is ours."""
    for prefix in ("192.0.2.0/26", "2001:db8::/64"):
        netns.ip(
            *("route", "add", prefix, "dev", "up1", "metric", "1024"), namespace=host.namespace
        )


def test_every_shape_of_route_comes_back_as_it_was_written(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    routes = every_shape(host)
    assert kernel.change_routes([PutRoute(each) for each in routes]) == (None,) * len(routes)
    seen = (*kernel.routes(254, protocol=80), *kernel.routes(4711))
    assert set(seen) == set(routes)
    assert set(kernel.routes_at(routes)) == set(routes)
    assert kernel.change_routes([DropRoute(each) for each in routes]) == (None,) * len(routes)
    assert kernel.routes(254, protocol=80) == kernel.routes(4711) == ()


def test_iproute2_sees_the_marks(host: Host, kernel: Pyroute2Kernel) -> None:
    wanted = route("192.0.2.0/26", NextHop(host.up0, ip_address("10.0.0.2")))
    assert kernel.change_routes([PutRoute(wanted)]) == (None,)
    [seen] = netns.ip_json("route", "show", "192.0.2.0/26", namespace=host.namespace)
    assert (seen["protocol"], seen["metric"], seen["dev"]) == ("80", 1024, "up0")
    assert seen["gateway"] == "10.0.0.2"


def test_a_route_is_created_exclusively_in_both_families(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    administrators_routes(host)
    wanted = [
        route("192.0.2.0/26", NextHop(host.up0)),
        route("2001:db8::/64", NextHop(host.up0)),
    ]
    answers = kernel.change_routes([PutRoute(each) for each in wanted])
    assert [answer.errno if answer else 0 for answer in answers] == [errno.EEXIST] * 2
    assert [each.protocol for each in kernel.routes_at(wanted)] == [3, 3]


def test_a_drop_never_removes_anothers_route_at_the_same_key(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    administrators_routes(host)
    ours = [
        route("192.0.2.0/26", NextHop(host.up1)),
        route("2001:db8::/64", NextHop(host.up1)),
    ]
    assert kernel.change_routes([DropRoute(each) for each in ours]) == (None, None)
    assert len(kernel.routes_at(ours)) == 2


def test_one_refusal_does_not_stop_the_others(host: Host, kernel: Pyroute2Kernel) -> None:
    good = [route(f"192.0.2.{n}/32", NextHop(host.up0)) for n in range(200)]
    bad = [route(f"198.51.100.{n}/32", NextHop(9999)) for n in range(200)]
    mixed = [each for pair in zip(good, bad, strict=True) for each in pair]
    answers = kernel.change_routes([PutRoute(each) for each in mixed])
    assert all(answer is None for answer in answers[::2])
    assert {answer.errno for answer in answers[1::2] if answer} == {errno.ENODEV}
    assert len(kernel.routes(254, protocol=80)) == 200


def test_a_refusal_tells_the_kernels_reason(host: Host, kernel: Pyroute2Kernel) -> None:
    [answer] = kernel.change_routes(
        [PutRoute(route("192.0.2.0/26", NextHop(host.up0, ip_address("172.16.9.9"))))]
    )
    assert answer is not None
    assert answer.errno == errno.ENETUNREACH
    assert "gateway" in answer.why
    assert "192.0.2.0/26" in str(answer)


def test_many_routes_are_listed_whole(host: Host, kernel: Pyroute2Kernel) -> None:
    base = ip_address("100.64.0.0")
    routes = [route(f"{base + n}/32", NextHop(host.up0)) for n in range(20_000)]
    assert not any(kernel.change_routes([PutRoute(each) for each in routes]))
    assert set(kernel.routes(254, protocol=80)) == set(routes)
    assert kernel.routes_to(frozenset({routes[77].key.prefix})) == (routes[77],)
    count = netns.run(host.namespace, "sh", "-c", "ip route show proto 80 | wc -l")
    assert int(count) == 20_000


def test_routes_of_some_protocols_can_be_passed_over(host: Host, kernel: Pyroute2Kernel) -> None:
    administrators_routes(host)
    learned = route("198.51.100.0/24", NextHop(host.up0), protocol=81)
    kernel.change_routes([PutRoute(learned)])
    every, others = kernel.routes(254), kernel.routes(254, passing_over=frozenset({80, 81}))
    assert set(every) - set(others) == {learned}
    assert {each.protocol for each in others} == {2, 3}


def test_links_tell_their_settings_alias_and_kind(host: Host, kernel: Pyroute2Kernel) -> None:
    netns.ip("link", "set", "up0", "alias", "a handle", namespace=host.namespace)
    netns.run(host.namespace, "sysctl", "-qw", "net.ipv4.conf.up0.rp_filter=2")
    link = {each.name: each for each in kernel.links()}["up0"]
    assert (link.index, link.kind, link.alias, link.up) == (host.up0, "veth", "a handle", True)
    assert link.settings.rp_filter == 2
    assert link.settings.proxy_arp is False
    assert len(link.mac) == 17


def test_settings_travel_by_netlink_and_by_file(host: Host, kernel: Pyroute2Kernel) -> None:
    kernel.change_link(
        host.up0, settings=LinkSettings(forwarding4=True, proxy_arp=True, rp_filter=0), mtu=1400
    )
    kernel.write_settings("up0", LinkSettings(proxy_delay=0, accept_ra=0, proxy_ndp=True))
    settings = kernel.read_settings("up0")
    assert settings.forwarding4 is settings.proxy_arp is settings.proxy_ndp is True
    assert (settings.rp_filter, settings.proxy_delay, settings.accept_ra) == (0, 0, 0)
    seen = netns.run(host.namespace, "sysctl", "-n", "net.ipv4.conf.up0.proxy_arp")
    assert seen.strip() == "1"
    link = {each.name: each for each in kernel.links()}["up0"]
    assert (link.mtu, link.settings.accept_ra, link.settings.proxy_ndp) == (1400, 0, True)


def test_a_link_that_is_gone_is_refused_with_enodev(host: Host, kernel: Pyroute2Kernel) -> None:
    with pytest.raises(KernelRefused) as refused:
        kernel.change_link(9999, up=False)
    assert refused.value.errno == errno.ENODEV
    with pytest.raises(KernelRefused) as refused:
        kernel.change_link(9999, settings=LinkSettings(proxy_arp=True))
    assert refused.value.errno == errno.ENODEV
    with pytest.raises(KernelRefused) as refused:
        kernel.write_settings("nowhere0", LinkSettings(proxy_arp=True))
    assert refused.value.errno == errno.ENODEV


def test_addresses_of_both_families_are_listed(host: Host, kernel: Pyroute2Kernel) -> None:
    seen = {(each.ifindex, each.interface) for each in kernel.addresses()}
    assert (host.up0, ip_interface("10.0.0.1/24")) in seen
    assert (host.up0, ip_interface("fd00::1/64")) in seen


def test_taking_a_link_down_and_up_works(host: Host, kernel: Pyroute2Kernel) -> None:
    kernel.change_link(host.up1, up=False)
    assert "UP" not in netns.ip_json("link", "show", "up1", namespace=host.namespace)[0]["flags"]
    kernel.change_link(host.up1, up=True)
    assert "UP" in netns.ip_json("link", "show", "up1", namespace=host.namespace)[0]["flags"]
