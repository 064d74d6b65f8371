"""The route table driver on the real kernel: whatever the story and whatever fails once."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

import pytest

from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.model import (
    DropRoute,
    NextHop,
    PutRoute,
    Route,
    RouteChange,
    RouteKey,
    RouteKind,
    Scope,
)
from felix_py.kernel.ownership import BGP, FELIX
from felix_py.kernel.port import Kernel
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.route_table import RouteTable
from tests.functional.kernel.conftest import Host
from tests.support import netns
from tests.support.expand import expand
from tests.support.faulty import Fault, Faulty

pytestmark = pytest.mark.root

State = Mapping[RouteKey, Route]


def key(prefix: str, metric: int = 1024) -> RouteKey:
    return RouteKey(ip_network(prefix), metric)


def routes(*made: Route) -> State:
    return {route.key: route for route in made}


def local(prefix: str, index: int) -> Route:
    scope = Scope.UNIVERSE if ":" in prefix else Scope.LINK
    return Route(key(prefix), 80, next_hops=(NextHop(index),), scope=scope)


def via(prefix: str, index: int, *gateways: str) -> Route:
    hops = tuple(NextHop(index, ip_address(gateway)) for gateway in gateways)
    return Route(key(prefix), 80, next_hops=hops)


def blackhole(prefix: str) -> Route:
    return Route(key(prefix), 80, RouteKind.BLACKHOLE)


def story(host: Host) -> Sequence[State]:
    """Pods come, move to another link and go; blocks change their way; both families."""
    return [
        routes(
            local("10.1.0.7/32", host.up0),
            local("10.1.0.8/32", host.up0),
            local("2001:db8:1::7/128", host.up0),
            blackhole("10.1.0.0/26"),
            blackhole("2001:db8:1::/122"),
        ),
        routes(
            local("10.1.0.7/32", host.up1),
            local("2001:db8:1::7/128", host.up1),
            blackhole("10.1.0.0/26"),
            via("10.1.0.64/26", host.up0, "10.0.0.2", "10.0.0.3"),
            via("2001:db8:1:1::/64", host.up0, "fd00::2", "fd00::3"),
        ),
        routes(
            local("10.1.0.9/32", host.up0),
            via("10.1.0.0/26", host.up0, "10.0.0.2"),
            via("10.1.0.64/26", host.up0, "10.0.0.2"),
            via("2001:db8:1:1::/64", host.up0, "fd00::2"),
            via("2001:db8:1::/122", host.up0, "fd00::2"),
            blackhole("2001:db8:1:2::/64"),
        ),
    ]


def settle(table: RouteTable, tries: int = 4) -> Mapping[RouteKey, KernelRefused]:
    """Apply like the loop does: again while something is wrong, a bounded number of times."""
    refused: Mapping[RouteKey, KernelRefused] = {}
    for _ in range(tries):
        try:
            refused = table.apply()
        except (DumpInterrupted, KernelRefused):
            continue
        if not refused:
            return refused
    return refused


def present(kernel: Kernel) -> State:
    return {route.key: route for route in kernel.routes(254, protocol=80)}


def clear(kernel: Kernel) -> None:
    kernel.change_routes([DropRoute(route) for route in kernel.routes(254, protocol=80)])


FAULTS = [
    Fault("change_routes", "refuse"),
    Fault("change_routes", "lose"),
    Fault("change_routes", "lose", call=1, errno=errno.ENOBUFS),
    Fault("change_routes", "half"),
    Fault("change_routes", "delay"),
    Fault("routes", "tear"),
    Fault("routes", "refuse"),
    Fault("routes_to", "tear"),
]


@pytest.mark.parametrize("process", ["one", "restarted"])
def test_every_telling_of_a_story_ends_the_same(
    host: Host, kernel: Pyroute2Kernel, process: str
) -> None:
    for name, states in expand(story(host)):
        clear(kernel)
        table = RouteTable(kernel, FELIX)
        for state in states:
            if process == "restarted":
                table = RouteTable(kernel, FELIX)
            table.want_exactly(state)
            assert settle(table) == {}, name
        assert present(kernel) == states[-1], name
        assert table.actual == states[-1], name


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.method}-{fault.kind}")
def test_the_table_converges_whatever_fails_once(
    host: Host, kernel: Pyroute2Kernel, fault: Fault
) -> None:
    faulty = Faulty(kernel, [fault, Fault("change_routes", "lose", call=2)])
    table = RouteTable(faulty, FELIX)
    for state in story(host):
        table.want_exactly(state)
        assert settle(table) == {}
        assert present(kernel) == state
    assert fault in faulty.happened


def test_a_table_that_reads_nothing_back_would_not_converge(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    """The control: a route removed behind our back stays away until a note or a relist."""
    table = RouteTable(kernel, FELIX)
    table.want_exactly(story(host)[0])
    assert table.apply() == {}
    netns.ip("route", "del", "10.1.0.7/32", "proto", "80", namespace=host.namespace)
    assert table.apply() == {}
    assert key("10.1.0.7/32") not in present(kernel)
    table.note(frozenset({ip_network("10.1.0.7/32")}))
    assert table.apply() == {}
    assert key("10.1.0.7/32") in present(kernel)


def test_what_exists_with_our_protocol_is_adopted_without_a_write(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    state = story(host)[1]
    kernel.change_routes([PutRoute(route) for route in state.values()])
    faulty = Faulty(kernel)
    table = RouteTable(faulty, FELIX)
    table.want_exactly(state)
    assert table.apply() == {}
    assert "change_routes" not in faulty.calls


def test_a_route_that_cni_wrote_meanwhile_is_adopted(host: Host, kernel: Pyroute2Kernel) -> None:
    table = RouteTable(kernel, FELIX)
    table.relist()
    same, other = local("10.1.0.7/32", host.up0), local("10.1.0.8/32", host.up0)
    kernel.change_routes([PutRoute(same), PutRoute(local("10.1.0.8/32", host.up1))])
    table.want({same.key: same, other.key: other})
    assert table.apply() == {}
    assert present(kernel) == routes(same, other)


@pytest.fixture
def administrators(host: Host) -> list[str]:
    """Routes of an administrator at keys that we want, in both families."""
    prefixes = ["10.1.0.7/32", "2001:db8:1::7/128"]
    for prefix in prefixes:
        netns.ip(
            *("route", "add", prefix, "dev", "up1", "metric", "1024"), namespace=host.namespace
        )
    return prefixes


def test_a_foreign_route_at_our_key_is_reported_and_never_overwritten(
    host: Host, kernel: Pyroute2Kernel, administrators: list[str]
) -> None:
    table = RouteTable(kernel, FELIX)
    table.want_exactly(story(host)[0])
    for _ in range(2):
        refused = table.apply()
        assert {str(each.prefix) for each in refused} == set(administrators)
        assert {error.errno for error in refused.values()} == {errno.EEXIST}
        owners = {str(each.prefix): route.protocol for each, route in table.foreign.items()}
        assert owners == dict.fromkeys(administrators, 3)
    for prefix in administrators:
        netns.ip("route", "del", prefix, "dev", "up1", namespace=host.namespace)
    assert table.apply() == {}
    assert table.foreign == {}
    assert present(kernel) == story(host)[0]


def test_an_appended_foreign_route_is_not_hit_by_our_replacement(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    table = RouteTable(kernel, FELIX)
    table.want_exactly(routes(local("10.1.0.7/32", host.up0)))
    assert table.apply() == {}
    netns.ip(
        *("route", "prepend", "10.1.0.7/32", "dev", "up1", "metric", "1024"),
        namespace=host.namespace,
    )
    table.note(frozenset({ip_network("10.1.0.7/32")}))
    moved = local("10.1.0.7/32", host.up1)
    table.want({moved.key: moved})
    assert table.apply()[moved.key].errno == errno.EEXIST
    seen = netns.ip_json("route", "show", "10.1.0.7/32", namespace=host.namespace)
    assert {each["protocol"] for each in seen} == {"80", "boot"}
    netns.ip("route", "del", "10.1.0.7/32", "proto", "boot", namespace=host.namespace)
    assert table.apply() == {}
    assert present(kernel) == routes(moved)


def test_our_own_second_route_at_a_key_is_removed(host: Host, kernel: Pyroute2Kernel) -> None:
    state = routes(local("10.1.0.7/32", host.up0))
    kernel.change_routes([PutRoute(route) for route in state.values()])
    netns.ip(
        *("route", "append", "10.1.0.7/32", "dev", "up1", "metric", "1024", "proto", "80"),
        namespace=host.namespace,
    )
    table = RouteTable(kernel, FELIX)
    table.want_exactly(state)
    assert table.apply() == {}
    assert kernel.routes(254, protocol=80) == tuple(state.values())


def test_only_our_protocol_is_ever_removed(host: Host, kernel: Pyroute2Kernel) -> None:
    learned = Route(RouteKey(ip_network("10.9.0.0/26"), 1025), 81, next_hops=(NextHop(host.up0),))
    bgp = RouteTable(kernel, BGP)
    bgp.want_exactly(routes(learned))
    assert bgp.apply() == {}
    before = len(kernel.routes(254))
    felix = RouteTable(kernel, FELIX)
    felix.want_exactly(story(host)[0])
    assert felix.apply() == {}
    felix.want_exactly({})
    assert felix.apply() == {}
    assert len(kernel.routes(254)) == before
    assert kernel.routes(254, protocol=81) == (learned,)


def test_a_route_through_a_vanished_interface_is_refused_and_the_rest_is_written(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    table = RouteTable(kernel, FELIX)
    gone, stays = local("10.1.0.7/32", 9999), local("10.1.0.8/32", host.up0)
    table.want_exactly(routes(gone, stays))
    refused = table.apply()
    assert {each: error.errno for each, error in refused.items()} == {gone.key: errno.ENODEV}
    assert present(kernel) == routes(stays)


def test_an_interface_that_came_back_with_a_new_index_gets_its_routes_again(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    table = RouteTable(kernel, FELIX)
    table.want_exactly(routes(local("10.1.0.7/32", host.up1)))
    assert table.apply() == {}
    netns.ip("link", "del", "up1", namespace=host.namespace)
    netns.veth((host.namespace, "up1"), (host.peer, "p1"))
    [link] = netns.ip_json("link", "show", "up1", namespace=host.namespace)
    table.relist()
    again = local("10.1.0.7/32", link["ifindex"])
    table.want({again.key: again})
    assert table.apply() == {}
    assert present(kernel) == routes(again)


class Recorder(Faulty):
    """Remembers every change that was asked for, in order."""

    def change_routes(self, changes: Sequence[RouteChange]) -> tuple[KernelRefused | None, ...]:
        RECORDED.extend(changes)
        return Faulty.change_routes(self, changes)


RECORDED: list[RouteChange] = []


def test_new_routes_are_made_before_old_ones_are_removed(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    RECORDED.clear()
    table = RouteTable(Recorder(kernel), FELIX)
    table.want_exactly(routes(local("10.1.0.7/32", host.up0), local("10.1.0.9/32", host.up0)))
    assert table.apply() == {}
    table.want_exactly(routes(local("10.1.0.7/32", host.up1), local("10.1.0.8/32", host.up1)))
    assert table.apply() == {}
    verbs = [type(change) for change in RECORDED[2:]]
    assert verbs == [PutRoute, PutRoute, DropRoute]


def test_an_ipv6_route_moves_into_a_tunnel_together_with_its_gateways_own_route(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    """The kernel refuses an onlink gateway to which the very route leads that is to be replaced."""
    table = RouteTable(kernel, FELIX)
    direct, gateway = via("fd10::40/122", host.up0, "fd00::2"), ip_address("fd10::41")
    table.want(routes(direct))
    assert not table.apply()
    hop = NextHop(host.up1, gateway, onlink=True)
    tunnelled = Route(direct.key, direct.protocol, next_hops=(hop,))
    table.want(routes(tunnelled))
    assert table.apply()[direct.key].errno == errno.EINVAL
    table.want(routes(local("fd10::41/128", host.up1)))
    assert not table.apply()
    found = kernel.routes_to(frozenset({direct.key.prefix}))
    assert [hop.ifindex for route in found for hop in route.next_hops] == [host.up1]
