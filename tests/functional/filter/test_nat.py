"""natOutgoing on the real kernel, seen from a plain host that has no route to pods."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest

from tests.functional.filter import world as w
from tests.functional.filter.world import World
from tests.support import frames, netns
from tests.support.capture import Capture

pytestmark = pytest.mark.root

FAMILIES = [
    pytest.param(w.OUTSIDE, w.NODE, "10.244.0.7", id="ipv4"),
    pytest.param(w.OUTSIDE6, w.NODE6, "fd00:244::7", id="ipv6"),
]


def natted(world: World, **configuration: object) -> None:
    world.filter.configuration(**configuration)
    world.filter.pool("p4", w.POOL, nat_outgoing=True)
    world.filter.pool("p6", w.POOL6, nat_outgoing=True)
    world.settle()


def sources(capture: Capture) -> set[str]:
    """Who the packets came from: `... 192.168.50.11.40000 > ...` or without a port."""
    found = (re.search(r"length \d+: (\S+) > ", line) for line in capture.lines)
    return {match.group(1) for match in found if match}


@pytest.mark.parametrize(("outside", "node", "pod"), FAMILIES)
def test_an_outside_host_answers_a_pod_and_sees_the_nodes_address(
    world: World, outside: str, node: str, pod: str
) -> None:
    expression = f"(icmp or icmp6) and dst host {outside} and not net fe80::/10"
    natted(world)
    with Capture(world.outside, "eth0", expression, direction="in") as seen:
        assert world.a.reaches(outside, count=2)
        seen.counted(2)
        assert node in sources(seen)
        assert pod not in sources(seen)


@pytest.mark.parametrize(("outside", "node", "pod"), FAMILIES)
def test_without_natoutgoing_an_outside_host_that_knows_the_way_sees_the_pod(
    world: World, outside: str, node: str, pod: str
) -> None:
    world.filter.pool("p4", w.POOL)
    world.filter.pool("p6", w.POOL6)
    world.settle()
    assert not world.a.reaches(outside), "nobody told the outside host where pods are"
    netns.ip("route", "add", w.POOL, "via", w.NODE, namespace=world.outside)
    netns.ip("-6", "route", "add", w.POOL6, "via", w.NODE6, namespace=world.outside)
    expression = f"(icmp or icmp6) and src host {pod}"
    with Capture(world.outside, "eth0", expression, direction="in") as seen:
        assert world.a.reaches(outside)
        assert seen.counted(1) >= 1


def test_towards_pools_nothing_is_translated_not_even_disabled_ones(world: World) -> None:
    netns.address(world.outside, "eth0", "10.8.0.1/32")
    netns.ip("route", "add", "10.8.0.1", "via", w.OUTSIDE, namespace=world.node)
    natted(world)
    with Capture(world.outside, "eth0", "dst host 10.8.0.1", direction="in") as seen:
        world.a.send(frames.udp(world.a.address, "10.8.0.1", 9))
        seen.counted(1)
        assert {each.rsplit(".", 1)[0] for each in sources(seen)} == {w.NODE}
    world.filter.pool("q", "10.8.0.0/16", disabled=True)
    world.filter.settle()
    with Capture(world.outside, "eth0", "dst host 10.8.0.1", direction="in") as seen:
        world.a.send(frames.udp(world.a.address, "10.8.0.1", 9, source_port=40001))
        seen.counted(1)
        assert {each.rsplit(".", 1)[0] for each in sources(seen)} == {world.a.address}


def test_the_address_and_the_ports_are_those_of_the_configuration(world: World) -> None:
    netns.address(world.node, "eth0", "192.168.50.20/24")
    natted(
        world,
        nat_outgoing_address=ip_address("192.168.50.20"),
        nat_port_range=(61000, 61010),
        nat_outgoing_interfaces="eth+",
    )
    with Capture(world.outside, "eth0", "udp port 9", direction="in") as seen:
        world.a.send(frames.udp(world.a.address, w.OUTSIDE, 9))
        seen.counted(1)
        (source,) = sources(seen)
    address, port = source.rsplit(".", 1)
    assert address == "192.168.50.20"
    assert 61000 <= int(port) <= 61010


def test_nodes_are_spared_where_the_configuration_says_so(world: World) -> None:
    for spared, seen_as in ((None, w.NODE), (True, world.a.address)):
        natted(world, nat_outgoing_spares_hosts=spared)
        with Capture(world.other, "eth0", "udp port 9", direction="in") as seen:
            port = 40000 if spared else 40001
            world.a.send(frames.udp(world.a.address, w.OTHER_NODE, 9, source_port=port))
            seen.counted(1)
            assert {each.rsplit(".", 1)[0] for each in sources(seen)} == {seen_as}


def test_an_interface_that_the_filter_does_not_name_is_not_translated(world: World) -> None:
    natted(world, nat_outgoing_interfaces="wlan+")
    with Capture(world.outside, "eth0", "udp port 9", direction="in") as seen:
        world.a.send(frames.udp(world.a.address, w.OUTSIDE, 9))
        seen.counted(1)
        assert {each.rsplit(".", 1)[0] for each in sources(seen)} == {world.a.address}


@pytest.mark.parametrize(("outside", "node", "pod"), FAMILIES)
def test_flows_born_while_the_table_was_away_are_translated_after_the_repair(
    world: World, outside: str, node: str, pod: str
) -> None:
    # Another program keeps connections tracked and translated meanwhile, as kube-proxy does.
    world.filter.nft(
        "add table inet others; add chain inet others c { type nat hook postrouting priority 90; };"
        " add rule inet others c oifname nowhere masquerade"
    )
    natted(world)
    old, born = (frames.udp(pod, outside, 9, source_port=port) for port in (40000, 40001))
    with Capture(
        world.outside, "eth0", f"udp port 9 and dst host {outside}", direction="in"
    ) as seen:
        world.a.send(old)
        seen.counted(1)
        world.filter.nft("delete", "table", "inet", "felix-py")
        world.a.send(old, born)
        assert seen.counted(3) == 3
        before = [line.split(" > ", 2)[1].split(": ")[-1] for line in seen.lines]
        assert [pod in each for each in before] == [False, False, True], (
            "a flow that was translated stays so, one that was born meanwhile is not"
        )
        world.filter.hears()
        world.filter.settle()
        world.a.send(old, born)
        assert seen.counted(5) == 5
        assert all(pod not in line for line in seen.lines[3:])
    assert world.filter.manager.report()["connectionsForgotten"] == 1
    kept = netns.run(world.node, "conntrack", "-L", "-f", "ipv6" if ":" in pod else "ipv4")
    assert "sport=40000" in kept


def test_connections_inside_the_cluster_are_never_forgotten(world: World) -> None:
    natted(world)
    world.a.send(frames.udp(world.a.address, world.b.address, 9, source_port=40002))
    assert "sport=40002" in netns.run(world.node, "conntrack", "-L")
    world.filter.nft("delete", "table", "inet", "felix-py")
    world.filter.hears()
    world.filter.settle()
    assert world.filter.manager.report()["repaired"] == 2
    assert "sport=40002" in netns.run(world.node, "conntrack", "-L")
