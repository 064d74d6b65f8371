"""Events of the real kernel as hints: others' changes are told, our own are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from felix_py.kernel import monitor, netlink_wire
from felix_py.kernel.errors import EventsLost
from felix_py.kernel.model import Hint, NextHop, PutRoute, Route, RouteKey
from felix_py.kernel.monitor import NetlinkMonitor
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from tests.functional.kernel.conftest import Host
from tests.support import netns

pytestmark = pytest.mark.root


@pytest.fixture
def watching(kernel: Pyroute2Kernel) -> Iterator[NetlinkMonitor]:
    opened = kernel.watch(frozenset({81}))
    drain(opened)
    yield opened
    opened.close()


def drain(opened: NetlinkMonitor, quiet_seconds: float = 0.2) -> set[Hint]:
    """Every hint until it has been quiet for so long."""
    seen: set[Hint] = set()
    while hints := opened.next(quiet_seconds):
        seen.update(hints)
    return seen


def route(number: int, index: int, protocol: int = 80) -> Route:
    prefix = ip_network(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32")
    return Route(RouteKey(prefix, 1024), protocol, next_hops=(NextHop(index),))


def test_each_kind_of_change_gives_its_hint(host: Host, watching: NetlinkMonitor) -> None:
    netns.ip("link", "set", "up0", "mtu", "1400", namespace=host.namespace)
    assert Hint("links") in drain(watching)
    netns.address(host.namespace, "up0", "10.0.7.1/24")
    assert Hint("addresses") in drain(watching)
    netns.run(host.namespace, "sysctl", "-qw", "net.ipv4.conf.up0.proxy_arp=1")
    assert Hint("settings") in drain(watching)
    netns.ip("route", "add", "192.0.2.0/26", "dev", "up0", namespace=host.namespace)
    netns.ip("route", "add", "2001:db8::/64", "dev", "up0", namespace=host.namespace)
    prefixes = {prefix for hint in drain(watching) for prefix in hint.prefixes}
    assert prefixes == {ip_network("192.0.2.0/26"), ip_network("2001:db8::/64")}


def test_our_own_routes_and_quiet_protocols_give_no_hint(
    host: Host, kernel: Pyroute2Kernel, watching: NetlinkMonitor
) -> None:
    kernel.change_routes([PutRoute(route(number, host.up0)) for number in range(50)])
    netns.ip(
        *("route", "add", "192.0.2.0/26", "dev", "up0", "proto", "81"), namespace=host.namespace
    )
    assert drain(watching) == set()
    netns.ip("route", "del", "10.0.0.7/32", "proto", "80", namespace=host.namespace)
    assert drain(watching) == {Hint("routes", frozenset({ip_network("10.0.0.7/32")}))}


def test_many_changed_prefixes_mean_look_at_everything(
    host: Host, watching: NetlinkMonitor
) -> None:
    with Pyroute2Kernel(netns=host.namespace) as other:
        other.change_routes([PutRoute(route(number, host.up0)) for number in range(20_000)])
        assert Hint("routes") in drain(watching)


def test_lost_events_are_told(
    host: Host, kernel: Pyroute2Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink_wire, "SOCKET_BYTES", 4096)
    small = kernel.watch()
    monkeypatch.undo()
    with Pyroute2Kernel(netns=host.namespace) as other:
        other.change_routes([PutRoute(route(number, host.up0)) for number in range(1000)])
    with pytest.raises(EventsLost):
        drain(small)
    drain(small)
    netns.ip("link", "set", "up0", "mtu", "1400", namespace=host.namespace)
    assert Hint("links") in drain(small)


def test_a_quiet_kernel_costs_no_more_than_the_time_asked_for(watching: NetlinkMonitor) -> None:
    started = time.monotonic()
    assert watching.next(0.1) == ()
    assert 0.05 < time.monotonic() - started < 2.0
    assert monitor.MAX_PREFIXES < monitor.MAX_DATAGRAMS


def test_watching_anew_after_every_loss_keeps_nothing_of_the_past(kernel: Pyroute2Kernel) -> None:
    with kernel:
        for _ in range(20):
            kernel.watch().close()
        assert len(kernel._monitors) == 1


def test_our_own_routes_and_quiet_protocols_do_not_even_wake_the_reader(
    host: Host, kernel: Pyroute2Kernel, watching: NetlinkMonitor
) -> None:
    drain(watching)
    kernel.change_routes([PutRoute(route(number, host.up0)) for number in range(50)])
    netns.ip(
        *("route", "add", "192.0.2.0/26", "dev", "up0", "proto", "81"), namespace=host.namespace
    )
    assert not watching._poll.poll(100)
    netns.ip("route", "add", "192.0.2.64/26", "dev", "up0", namespace=host.namespace)
    assert watching._poll.poll(2000), "somebody else's route does: the control"
