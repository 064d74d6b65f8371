"""Floating addresses on the real kernel: from a host outside, from pods, and from the node itself."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from felix_py.datastore.floating import FloatingAddress
from tests.functional.filter import world as w
from tests.functional.filter.world import World
from tests.support import netns

pytestmark = pytest.mark.root

OUT, OUT6 = "10.250.0.9", "fd00:250::9"


def led(world: World, *, on: bool = True, floating: bool = True) -> None:
    pairs = ((world.a.address, OUT), (world.a.address6, OUT6))
    told = tuple(FloatingAddress(ip_address(here), ip_address(out)) for here, out in pairs)
    world.filter.configuration(floating_ips=on)
    world.settle()
    world.filter.endpoint(world.a, floating=told if floating else ())
    world.filter.settle()


def from_outside(world: World, address: str) -> bool:
    return netns.succeeds(world.outside, "ping", "-n", "-c", "1", "-W", "1", address)


@pytest.fixture
def routed(world: World) -> World:
    """The outside host sends both addresses, and pods' own, to the node, which has a default route as
    nodes have: what a node sends itself is routed before it is translated."""
    netns.ip("route", "add", "default", "via", w.OUTSIDE, namespace=world.node)
    netns.ip("-6", "route", "add", "default", "via", w.OUTSIDE6, namespace=world.node)
    for version, prefix, via in (
        ("-4", OUT, w.NODE),
        ("-4", w.POOL, w.NODE),
        ("-6", OUT6, w.NODE6),
        ("-6", w.POOL6, w.NODE6),
    ):
        netns.ip(version, "route", "add", prefix, "via", via, namespace=world.outside)
    return world


@pytest.mark.parametrize("address", [OUT, OUT6])
def test_who_asks_the_floating_address_is_answered_by_the_pod(routed: World, address: str) -> None:
    led(routed)
    assert from_outside(routed, address)
    assert netns.succeeds(routed.node, "ping", "-n", "-c", "1", "-W", "1", address), "the node"
    assert routed.b.reaches(address), "another pod of the node"
    assert routed.a.reaches(address), "the pod itself"


@pytest.mark.parametrize("address", [OUT, OUT6])
def test_nobody_answers_where_it_is_not_served_or_the_pod_has_it_no_more(
    routed: World, address: str
) -> None:
    led(routed, on=False)
    assert not from_outside(routed, address)
    led(routed)
    assert from_outside(routed, address)
    led(routed, floating=False)
    assert not from_outside(routed, address)


def test_a_pod_that_gets_an_address_changes_elements_alone(routed: World) -> None:
    led(routed, floating=False)
    listed = ("nft", "-a", "list", "chain", "inet", "felix-py", "floating-in")
    before = netns.run(routed.node, *listed)
    assert "@floating4" in before
    led(routed)
    assert netns.run(routed.node, *listed) == before, "the rules kept their handles"
    assert OUT in netns.run(routed.node, "nft", "list", "map", "inet", "felix-py", "floating4")
