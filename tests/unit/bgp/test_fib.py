"""Learned prefixes to kernel routes: adoption, next hops that move, troubles by name."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

import pytest

from bgp.calc.next_hops import Underlay
from bgp.fib import Fib
from bgp.model import IPNetwork
from bgp.yielding import Yielding
from felix_py.kernel.model import Link, NextHop, Route, RouteKey
from felix_py.kernel.ownership import BGP
from tests.unit.bgp.world import MemoryTable

ONE, TWO = ip_network("10.244.1.0/26"), ip_network("10.244.2.0/26")
A, B = (ip_address("10.0.0.2"),), (ip_address("10.50.0.9"),)
LINKS = (Link(2, "eth0", up=True), Link(3, "eth1", up=True))


def underlay(*routes: tuple[str, int, str]) -> Underlay:
    """Routes as (prefix, link, gateway); no gateway: on-link."""
    return Underlay(
        [
            Route(
                RouteKey(ip_network(prefix), 0),
                2,
                next_hops=(NextHop(link, ip_address(gateway) if gateway else None),),
            )
            for prefix, link, gateway in routes
        ],
        LINKS,
    )


LOCAL = ("10.0.0.0/24", 2, "")


def written(table: MemoryTable, fib: Fib) -> dict[str, tuple[str, ...]]:
    fib.apply()
    return {str(prefix): gateways for prefix, gateways in table.gateways().items()}


@pytest.fixture
def felixs() -> set[IPNetwork]:
    """Prefixes whose route is felix's to write."""
    return set()


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def fib(table: MemoryTable, felixs: set[IPNetwork]) -> Fib:
    made = Fib(table, Yielding(felixs.intersection, table.felixs))  # type: ignore[arg-type]
    made.stand_on(underlay(LOCAL))
    return made


def left_by_another_process(table: MemoryTable, prefixes: Iterable[str]) -> None:
    for prefix in prefixes:
        key = RouteKey(ip_network(prefix), BGP.metric)
        hops = (NextHop(2, ip_address("10.0.0.7")),)
        table.actual[key] = Route(key, BGP.route_protocol, next_hops=hops)


def test_routes_come_and_go_with_what_is_learned(table: MemoryTable, fib: Fib) -> None:
    fib.learn({ONE: A, TWO: A})
    assert written(table, fib) == {str(ONE): ("10.0.0.2",), str(TWO): ("10.0.0.2",)}
    assert {route.protocol for route in table.actual.values()} == {BGP.route_protocol}
    fib.learn({ONE: ()})
    assert written(table, fib) == {str(TWO): ("10.0.0.2",)}
    assert fib.installed() == 1


def test_what_an_earlier_process_left_stays_until_all_were_heard(
    table: MemoryTable, fib: Fib
) -> None:
    left_by_another_process(table, [str(ONE), str(TWO)])
    assert fib.adopt() == 2
    fib.learn({ONE: A})
    assert written(table, fib) == {str(ONE): ("10.0.0.2",), str(TWO): ("10.0.0.7",)}
    assert fib.complete() == 1
    assert not fib.adopting
    assert written(table, fib) == {str(ONE): ("10.0.0.2",)}


def test_a_withdrawn_prefix_goes_even_while_routes_are_kept(table: MemoryTable, fib: Fib) -> None:
    left_by_another_process(table, [str(ONE)])
    fib.adopt()
    fib.learn({ONE: A})
    fib.learn({ONE: ()})
    assert written(table, fib) == {}


def test_a_next_hop_without_a_way_has_no_route_until_there_is_one(
    table: MemoryTable, fib: Fib
) -> None:
    fib.learn({ONE: B, TWO: A})
    assert written(table, fib) == {str(TWO): ("10.0.0.2",)}
    assert list(fib.unresolved()) == list(B)
    assert fib.stand_on(underlay(LOCAL, ("10.50.0.0/16", 2, "10.0.0.254")))
    assert written(table, fib) == {str(ONE): ("10.0.0.254",), str(TWO): ("10.0.0.2",)}
    assert fib.unresolved() == {}


def test_an_underlay_that_changes_elsewhere_moves_nothing(table: MemoryTable, fib: Fib) -> None:
    fib.learn({ONE: A})
    assert not fib.stand_on(underlay(LOCAL, ("172.16.0.0/16", 3, "10.0.0.9")))
    assert written(table, fib) == {str(ONE): ("10.0.0.2",)}


def test_a_foreign_route_at_our_key_is_named(table: MemoryTable, fib: Fib) -> None:
    key = RouteKey(ONE, BGP.metric)
    table.foreign[key] = Route(key, 4)
    assert fib.troubles() == {str(ONE): "a route of protocol 4 sits at our key"}


def test_a_route_that_becomes_felixs_stays_until_felixs_stands(
    table: MemoryTable, fib: Fib, felixs: set[IPNetwork]
) -> None:
    fib.learn({ONE: A})
    assert written(table, fib) == {str(ONE): ("10.0.0.2",)}
    felixs.add(ONE)
    fib.learn({ONE: ()})
    assert not fib.yield_to_felix(1.0)
    assert written(table, fib) == {str(ONE): ("10.0.0.2",)}
    assert fib.waiting_for_felix == [ONE]
    table.others.add(ONE)
    assert fib.yield_to_felix(2.0)
    assert written(table, fib) == {}
    assert fib.waiting_for_felix == []


def test_a_route_that_waits_for_felix_goes_when_felix_is_not_to_write_it_any_more(
    table: MemoryTable, fib: Fib, felixs: set[IPNetwork]
) -> None:
    felixs.add(ONE)
    fib.learn({ONE: A})
    fib.apply()
    fib.learn({ONE: ()})
    felixs.clear()
    assert fib.yield_to_felix(1.0)
    assert written(table, fib) == {}


def test_a_route_that_is_learned_again_does_not_wait_any_more(
    table: MemoryTable, fib: Fib, felixs: set[IPNetwork]
) -> None:
    felixs.add(ONE)
    fib.learn({ONE: A})
    fib.apply()
    fib.learn({ONE: ()})
    felixs.clear()
    fib.learn({ONE: A})
    assert not fib.yield_to_felix(1.0)
    assert written(table, fib) == {str(ONE): ("10.0.0.2",)}


def test_a_fresh_process_keeps_what_felix_is_about_to_take_over(
    table: MemoryTable, fib: Fib, felixs: set[IPNetwork]
) -> None:
    left_by_another_process(table, [str(ONE), str(TWO)])
    felixs.add(ONE)
    fib.adopt()
    assert fib.complete() == 1
    assert list(written(table, fib)) == [str(ONE)]
