"""Tunnelled packets: from pods never, from known nodes yes, from strangers no."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from tests.functional.filter import world as w
from tests.functional.filter.world import FilterHost, World
from tests.support import frames, netns
from tests.support.capture import Capture
from tests.unit.agent.builders import ME, OTHER

pytestmark = pytest.mark.root

TIMES = 5
VICTIM = "10.244.1.7"
TUNNEL = "vxlan.calico"
TUNNEL_MAC = "66:00:00:00:00:02"

NAT_ONLY = """
add table inet others
add chain inet others c { type nat hook postrouting priority srcnat; }
add rule inet others c iifname "cali*" masquerade
"""


@pytest.fixture
def receiver(world: World) -> Iterator[FilterHost]:
    """The other node: a VXLAN device with a pod's address behind it, and felix's filter."""
    netns.ip(
        *("link", "add", TUNNEL, "address", TUNNEL_MAC, "type", "vxlan", "id", "4096"),
        *("dstport", "4789", "local", w.OTHER_NODE, "nolearning"),
        namespace=world.other,
    )
    netns.ip("link", "set", TUNNEL, "up", namespace=world.other)
    netns.address(world.other, TUNNEL, f"{VICTIM}/32")
    with FilterHost(world.other, OTHER) as made:
        made.pool("p4", w.POOL, vxlan_mode="Always")
        made.pool("p5", "10.245.0.0/16", ipip_mode="Always")
        made.nodes((ME, w.NODE, w.NODE6), (OTHER, w.OTHER_NODE, w.OTHER_NODE6))
        made.settle()
        yield made


def inner() -> bytes:
    """What is inside: a packet to the other node's pod, from an address nobody could check there."""
    return frames.framed(
        frames.udp("10.244.9.9", VICTIM, 9),
        source_mac="02:00:00:00:00:09",
        destination_mac=TUNNEL_MAC,
    )


def unpacked(
    world: World, namespace: str, frames_sent: list[bytes], what: str, *, awaited: int = 0
) -> tuple[int, int]:
    """(sent on the liar's link, unpacked at the other node)."""
    with (
        Capture(namespace, "eth0", what, direction="out") as sent,
        Capture(world.other, TUNNEL, "udp port 9", direction="in") as seen,
    ):
        frames.send(namespace, "eth0", frames_sent)
        return sent.counted(len(frames_sent)), seen.counted(awaited)


def from_pod(world: World, packet: bytes) -> list[bytes]:
    return [frames.framed(packet, source_mac=world.a.mac)] * TIMES


def test_a_pods_vxlan_packet_in_its_nodes_name_stops_at_its_own_node(
    world: World, receiver: FilterHost
) -> None:
    """Masqueraded to its own node's address it would pass for a node's."""
    world.filter.nft(NAT_ONLY)
    forged = from_pod(world, frames.vxlan(world.a.address, w.OTHER_NODE, inner()))
    what = "udp port 4789"
    control = unpacked(world, world.a.namespace, forged, what, awaited=TIMES)
    assert control == (TIMES, TIMES), "control: with NAT alone it is unpacked as the node's own"
    world.settle()
    assert unpacked(world, world.a.namespace, forged, what) == (TIMES, 0)
    world.filter.configuration(allow_vxlan_from_workloads=True)
    world.filter.settle()
    assert unpacked(world, world.a.namespace, forged, what, awaited=TIMES) == (TIMES, TIMES), (
        "an administrator can have it so"
    )


def test_a_pods_protocol_4_packet_stops_at_its_own_node(world: World) -> None:
    forged = from_pod(
        world, frames.packet(world.a.address, w.OTHER_NODE, 4, frames.echo("10.244.9.9", VICTIM))
    )

    def arrived(awaited: int) -> tuple[int, int]:
        with (
            Capture(world.a.namespace, "eth0", "ip proto 4", direction="out") as sent,
            Capture(world.other, "eth0", "ip proto 4", direction="in") as seen,
        ):
            frames.send(world.a.namespace, "eth0", forged)
            return sent.counted(TIMES), seen.counted(awaited)

    assert arrived(TIMES) == (TIMES, TIMES), "control"
    world.settle()
    assert arrived(0) == (TIMES, 0)
    world.filter.configuration(allow_ipip_from_workloads=True)
    world.filter.settle()
    assert arrived(TIMES) == (TIMES, TIMES)


def test_a_strangers_vxlan_packet_is_not_unpacked(world: World, receiver: FilterHost) -> None:
    mac = frames.mac_of(world.outside, "eth0")
    to = frames.mac_of(world.other, "eth0")
    forged = frames.framed(
        frames.vxlan(w.OUTSIDE, w.OTHER_NODE, inner()), source_mac=mac, destination_mac=to
    )
    posing = frames.framed(
        frames.vxlan(w.NODE, w.OTHER_NODE, inner()), source_mac=mac, destination_mac=to
    )
    what = "udp port 4789"
    assert unpacked(world, world.outside, [forged] * TIMES, what) == (TIMES, 0)
    assert unpacked(world, world.outside, [posing] * TIMES, what, awaited=TIMES) == (
        TIMES,
        TIMES,
    ), "control: a known node's address is let in"
    receiver.configuration(external_nodes=(ip_network("192.168.50.96/27"),))
    receiver.settle()
    assert unpacked(world, world.outside, [forged] * TIMES, what, awaited=TIMES) == (TIMES, TIMES)
    receiver.configuration()
    receiver.settle()
    receiver.nft("delete", "table", "inet", "felix-py")
    assert unpacked(world, world.outside, [forged] * TIMES, what, awaited=TIMES) == (
        TIMES,
        TIMES,
    ), "control: without our table anybody is unpacked"


def test_a_strangers_protocol_4_packet_reaches_no_socket(
    world: World, receiver: FilterHost
) -> None:
    """This kernel has no ipip: what would be unpacked is what a raw socket of protocol 4 gets."""
    mac, to = frames.mac_of(world.outside, "eth0"), frames.mac_of(world.other, "eth0")

    def heard(source: str) -> bool:
        packed = frames.packet(source, w.OTHER_NODE, 4, frames.echo("10.244.9.9", VICTIM))
        return hears(world, frames.framed(packed, source_mac=mac, destination_mac=to))

    assert heard(w.NODE), "control: a node's"
    assert not heard(w.OUTSIDE)
    receiver.nft("delete", "table", "inet", "felix-py")
    assert heard(w.OUTSIDE), "control: without our table"


def hears(world: World, frame: bytes) -> bool:
    import socket  # noqa: PLC0415

    def body() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, 4) as opened:
            opened.settimeout(1.0)
            frames.send(world.outside, "eth0", [frame])
            try:
                return bool(opened.recv(2000))
            except TimeoutError:
                return False

    return netns.call(world.other, body)
