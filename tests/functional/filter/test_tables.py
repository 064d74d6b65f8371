"""The driver on the real kernel: what others do to our tables is put right, by elements or whole."""

from __future__ import annotations

import time

import pytest

from felix_py.datastore.model import NodeName
from tests.functional.filter import world as w
from tests.functional.filter.world import Pod, World
from tests.support import frames, netns
from tests.support.capture import Capture
from tests.unit.agent.builders import OTHER

pytestmark = pytest.mark.root

OTHERS = "add table ip others; add chain ip others c { type filter hook input priority 5; }"


def ruleset(world: World) -> str:
    """Our two tables, without counts."""
    return "".join(
        world.filter.nft("-s", "list", "table", family, "felix-py") for family in ("inet", "arp")
    )


def natted(world: World) -> None:
    world.filter.pool("p4", w.POOL, nat_outgoing=True, vxlan_mode="Always")
    world.filter.pool("p6", w.POOL6, nat_outgoing=True)
    world.settle()


@pytest.mark.parametrize(
    "harm",
    [
        "flush ruleset",
        "delete table inet felix-py",
        "delete table arp felix-py",
        "flush chain inet felix-py postrouting",
        "delete element inet felix-py nat-pools4 { 10.244.0.0/16 }",
        "flush set inet felix-py pod-sources6",
        "add rule inet felix-py from-pods4 accept",
        "insert rule arp felix-py input accept",
    ],
)
def test_whatever_others_do_to_our_tables_is_put_right(world: World, harm: str) -> None:
    natted(world)
    before = ruleset(world)
    world.filter.hears()
    assert world.filter.once()
    world.filter.nft(harm)
    world.filter.hears()
    world.filter.settle()
    assert ruleset(world) == before
    assert world.filter.manager.report()["repaired"] == 2, "once at start, once now"


def test_others_tables_are_neither_touched_nor_a_reason_to_write(world: World) -> None:
    natted(world)
    world.filter.hears()
    handles = world.filter.handles()
    world.filter.nft(OTHERS)
    world.filter.nft("add rule ip others c tcp dport 1 drop")
    world.filter.hears()
    world.filter.settle()
    others = world.filter.nft("list", "table", "ip", "others")
    assert {key: handles[key] for key in handles} == {
        key: handle for key, handle in world.filter.handles().items() if key in handles
    }
    world.filter.nft("delete", "table", "inet", "felix-py")
    world.filter.hears()
    world.filter.settle()
    assert world.filter.nft("list", "table", "ip", "others") == others


def test_pods_and_nodes_that_come_and_go_change_elements_only(world: World) -> None:
    natted(world)
    handles = world.filter.handles()
    world.add_pod("c", 9)
    world.filter.links(world.pods.values())
    world.filter.endpoint(world.pods["c"])
    world.filter.nodes((OTHER, "192.168.50.13", w.OTHER_NODE6))
    world.filter.settle()
    told = ruleset(world)
    assert '"cali0000000000c" . 10.244.0.9' in told
    assert "192.168.50.13" in told
    assert w.OTHER_NODE not in told
    world.filter.endpoint(world.pods.pop("c"), gone=True)
    world.filter.links(world.pods.values())
    world.filter.settle()
    assert "cali0000000000c" not in ruleset(world)
    assert world.filter.handles() == handles, "no table was written anew"
    world.filter.hears()
    assert world.filter.once()
    assert world.filter.handles() == handles, "our own changes are not taken for others'"


def test_ranges_that_take_each_others_place_change_in_one_step(world: World) -> None:
    natted(world)
    handles = world.filter.handles()
    for cidr in ("10.8.0.0/17", "10.8.0.0/16", "10.8.128.0/17"):
        world.filter.pool("q", cidr)
        world.filter.settle()
        assert cidr in ruleset(world)
    for prefixes in (("10.50.0.0/24",), ("10.50.0.0/16",), ("10.50.0.0/25", "10.50.1.0/24")):
        world.filter.configuration(any_source_spoofing=True)
        world.filter.endpoint(world.a, spoofable=prefixes)
        world.filter.settle()
        assert all(prefix in ruleset(world) for prefix in prefixes)
    assert world.filter.handles() == handles


def test_a_thousand_pods_and_five_thousand_nodes_fit(world: World) -> None:
    """And one pod more still changes elements only."""
    many = [
        Pod(f"n{i}", "", f"cali{i:011x}", f"10.244.{i >> 8}.{i & 255}", f"fd00:244::1:{i:x}")
        for i in range(1001)
    ]
    world.filter.nodes(
        *((NodeName(f"n{i}"), f"172.16.{i >> 8}.{i & 255}", f"fd51::{i:x}") for i in range(1, 5001))
    )
    world.filter.links(many)
    for pod in many[:1000]:
        world.filter.endpoint(pod)
    natted(world)
    world.filter.links(many)
    for pod in many[:1000]:
        world.filter.endpoint(pod)
    world.filter.settle()
    handles = world.filter.handles()
    assert ruleset(world).count('"cali') > 4000
    world.filter.endpoint(many[1000])
    world.filter.settle()
    assert f'"{many[1000].link}" . {many[1000].address}' in ruleset(world)
    assert world.filter.handles() == handles


def test_events_that_were_lost_are_noticed_by_the_rulesets_number(world: World) -> None:
    natted(world)
    world.filter.hears()
    assert world.filter.once(sweep=True)
    world.filter.deaf()
    world.filter.nft("delete table inet felix-py")
    assert world.filter.once(sweep=True), "one sweep may be ahead of the events"
    world.filter.once(sweep=True)
    world.filter.settle()
    assert ("inet", "felix-py") in world.filter.handles()


def test_a_fresh_process_takes_the_tables_over_without_a_gap(world: World) -> None:
    natted(world)
    before = ruleset(world)
    world.filter.close()
    world.filter = w.FilterHost(world.node)
    natted(world)
    assert ruleset(world) == before
    assert world.filter.manager.report()["repaired"] == 0
    assert world.filter.manager.senders_stand


def test_while_tables_are_written_anew_no_forged_packet_slips_through(world: World) -> None:
    """Each change of rules replaces the tables whole; a liar tries all the while."""
    natted(world)
    lie = [
        frames.framed(frames.udp("10.244.9.9", world.b.address, 9), source_mac=world.a.mac)
    ] * 200
    with Capture(world.b.namespace, "eth0", "udp port 9", direction="in") as seen:
        until = time.monotonic() + 2.0
        port = 4790
        while time.monotonic() < until:
            world.a.send_frames(*lie)
            port += 1
            world.filter.configuration(vxlan_port=port)
            world.filter.settle()
        assert seen.counted(0) == 0
    assert port > 4792
    assert netns.succeeds(world.a.namespace, "ping", "-c1", "-W2", world.b.address)
