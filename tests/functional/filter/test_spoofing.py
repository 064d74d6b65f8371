"""A pod that lies: counted as sent, shown as never received; and without our table it succeeds."""

from __future__ import annotations

import time

import pytest

from tests.functional.filter import world as w
from tests.functional.filter.world import World
from tests.support import frames, netns
from tests.support.capture import Capture

pytestmark = pytest.mark.root

TIMES = 5


def guarded(world: World) -> None:
    world.filter.pool("p4", w.POOL)
    world.filter.pool("p6", w.POOL6)
    world.settle()


def arrived(
    world: World, packets: list[bytes], at: tuple[str, str], what: str, *, awaited: int = 0
) -> tuple[int, int]:
    """(sent, received): packets of pod a, as its own link and the other place have seen them."""
    with (
        Capture(world.a.namespace, "eth0", what, direction="out") as sent,
        Capture(*at, what, direction="in") as seen,
    ):
        world.a.send(*packets)
        return sent.counted(max(awaited, 1)), seen.counted(awaited)


@pytest.mark.parametrize("version", [4, 6])
def test_honest_pods_reach_each_other_the_node_and_answer_their_neighbours(
    world: World, version: int
) -> None:
    guarded(world)
    other, node = (world.b.address, w.NODE) if version == 4 else (world.b.address6, w.NODE6)
    for pod in (world.a, world.b):
        netns.ip("neigh", "flush", "dev", pod.link, namespace=world.node)
    assert world.a.reaches(other)
    assert world.a.reaches(node)
    drops = [rule for rule in world.filter.listed("table", "inet", "felix-py") if dropped(rule)]
    assert not drops, "nothing honest was dropped"
    assert world.b.mac in world.neighbours(world.b.link, version).values()


def dropped(entry: dict[str, object]) -> bool:
    """Whether a rule's counter has seen anything (only rules that drop count)."""
    rule = entry.get("rule")
    expressions = rule["expr"] if isinstance(rule, dict) else []
    return any(each.get("counter", {}).get("packets") for each in expressions)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("10.244.0.9", "10.244.0.8", id="nobodys"),
        pytest.param("10.244.0.8", "192.168.50.99", id="the-neighbour-pods"),
        pytest.param("10.244.7.7", "10.244.0.8", id="another-nodes-pods"),
        pytest.param("192.168.50.11", "10.244.0.8", id="the-nodes"),
        pytest.param("169.254.1.1", "10.244.0.8", id="the-gateways"),
        pytest.param("0.0.0.0", "10.244.0.8", id="none"),
        pytest.param("fd00:244::9", "fd00:244::8", id="nobodys-6"),
        pytest.param("fd00:244::8", "fd50::99", id="the-neighbour-pods-6"),
        pytest.param("fd50::12", "fd00:244::8", id="another-nodes-6"),
    ],
)
def test_a_source_that_is_not_the_pods_never_leaves_its_node(
    world: World, source: str, target: str
) -> None:
    packets = [frames.udp(source, target, 9, source_port=40000 + number) for number in range(TIMES)]
    outside = target in {w.OUTSIDE, w.OUTSIDE6}
    at = (world.outside, "eth0") if outside else (world.b.namespace, "eth0")
    what = f"udp port 9 and src host {source}"
    if source not in {"192.168.50.11", "0.0.0.0"}:  # the kernel itself refuses those two
        assert arrived(world, packets, at, what, awaited=TIMES) == (TIMES, TIMES), (
            "control: it succeeds"
        )
    guarded(world)
    assert arrived(world, packets, at, what) == (TIMES, 0)
    assert sum(dropped(rule) for rule in world.filter.listed("table", "inet", "felix-py")) == 1


def test_the_loopback_net_is_closed_to_pods(world: World) -> None:
    for path in (f"ipv4/conf/{world.a.link}/route_localnet", "ipv4/conf/all/route_localnet"):
        world.switch(world.node, path, "1")
    to = frames.udp(world.a.address, "127.0.0.1", 9)
    assert reaches_socket(world, "127.0.0.1", to), "control: with route_localnet it gets there"
    guarded(world)
    assert not reaches_socket(world, "127.0.0.1", to)


def test_a_service_on_the_loopback_that_nat_leads_to_stays_open(world: World) -> None:
    for path in (f"ipv4/conf/{world.a.link}/route_localnet", "ipv4/conf/all/route_localnet"):
        world.switch(world.node, path, "1")
    world.filter.nft(
        "add table ip others; add chain ip others c { type nat hook prerouting priority -100; };"
        " add rule ip others c ip daddr 192.0.2.10 dnat to 127.0.0.1"
    )
    guarded(world)
    assert reaches_socket(world, "127.0.0.1", frames.udp(world.a.address, "192.0.2.10", 9))


def reaches_socket(world: World, address: str, packet: bytes) -> bool:
    """Whether a UDP socket of the node's, bound to that address and port 9, gets the packet."""
    import socket  # noqa: PLC0415

    def body() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.bind((address, 9))
            opened.settimeout(1.0)
            world.a.send(packet)
            try:
                return bool(opened.recv(100))
            except TimeoutError:
                return False

    return netns.call(world.node, body)


def test_a_pod_that_felix_has_not_heard_of_may_send_from_its_own_address_at_once(
    world: World,
) -> None:
    guarded(world)
    born = world.add_pod("c", 9)
    for target in (world.b.address, world.b.address6, w.NODE):
        assert born.reaches(target)
    with Capture(world.b.namespace, "eth0", "udp port 9", direction="in") as seen:
        born.send(
            frames.udp("10.244.0.7", world.b.address, 9), frames.udp("10.9.9.9", world.b.address, 9)
        )
        assert seen.counted(0) == 0


def test_prefixes_that_the_administrator_allows_may_be_sent_from(world: World) -> None:
    packets = [frames.udp(source, world.b.address, 9) for source in ("10.50.3.4", "10.51.3.4")]
    guarded(world)
    world.filter.configuration(any_source_spoofing=True)
    world.filter.endpoint(world.a, spoofable=("10.50.0.0/16", "10.50.0.0/24", "fd51::/64"))
    world.filter.settle()
    at = world.b.namespace, "eth0"
    assert arrived(world, packets, at, "udp port 9 and src net 10.50.0.0/16", awaited=1) == (1, 1)
    assert arrived(world, packets, at, "udp port 9 and src net 10.51.0.0/16") == (1, 0)
    six = [frames.udp("fd51::1", world.b.address6, 9)]
    assert arrived(world, six, at, "udp port 9 and src host fd51::1", awaited=1) == (1, 1)
    world.filter.configuration()
    world.filter.settle()
    assert arrived(world, packets, at, "udp port 9 and src net 10.50.0.0/16") == (1, 0)


@pytest.mark.parametrize(
    ("operation", "victim", "target", "kernel_believes"),
    [
        pytest.param(2, "10.244.0.8", "10.244.0.8", True, id="a-neighbour-pod"),
        pytest.param(2, w.GATEWAY, w.GATEWAY, True, id="the-gateway"),
        pytest.param(2, w.NODE, w.NODE, False, id="the-node"),
        pytest.param(1, "10.244.0.8", w.NODE, True, id="asking-in-anothers-name"),
    ],
)
def test_arp_in_others_names_teaches_the_host_nothing(
    world: World, operation: int, victim: str, target: str, *, kernel_believes: bool
) -> None:
    # Linux believes unasked answers only where it is told to; the worst host does. That somebody else
    # has its own address it never believes.
    world.switch(world.node, f"ipv4/conf/{world.a.link}/arp_accept", "1")
    lie = [frames.arp(operation, world.a.mac, victim, target)] * TIMES
    control = believed(world, 4, victim, lie)
    assert control == (world.a.mac if kernel_believes else None), "control"
    guarded(world)
    assert believed(world, 4, victim, lie) is None
    assert sum(dropped(rule) for rule in world.filter.listed("table", "arp", "felix-py")) == 1


@pytest.mark.parametrize(
    ("victim", "kernel_believes"),
    [
        pytest.param("fd00:244::8", True, id="a-neighbour-pod"),
        pytest.param(w.GATEWAY6, False, id="the-gateway"),
        pytest.param(w.NODE6, True, id="the-node"),
    ],
)
def test_neighbour_advertisements_for_others_change_nothing(
    world: World, victim: str, *, kernel_believes: bool
) -> None:
    """An advertisement changes an entry that is there, so the host is given one. It may come from the
    victim's address or from the liar's own; only about its own address on that very link the kernel
    itself believes nobody."""
    before = "02:00:00:00:00:01"
    known = ["neigh", "replace", victim, "dev", world.a.link, "lladdr", before, "nud", "stale"]
    for guard in (False, True):
        if guard:
            guarded(world)
        for source in (victim, world.a.address6):
            lie = [frames.advertisement(world.a.mac, source, victim)] * TIMES
            netns.ip(*known, namespace=world.node)
            succeeds = kernel_believes and not guard
            assert believed(world, 6, victim, lie) == (world.a.mac if succeeds else before)
    assert any(dropped(rule) for rule in world.filter.listed("table", "inet", "felix-py"))


def test_solicitations_from_others_addresses_teach_the_host_nothing(world: World) -> None:
    asking = [frames.solicitation(world.a.mac, world.b.address6, w.GATEWAY6)] * TIMES
    assert believed(world, 6, world.b.address6, asking) == world.a.mac, "control"
    guarded(world)
    assert believed(world, 6, world.b.address6, asking) is None


def test_a_true_advertisement_is_heard(world: World) -> None:
    guarded(world)
    known = ["neigh", "replace", world.a.address6, "dev", world.a.link]
    netns.ip(*known, "lladdr", "02:00:00:00:00:01", "nud", "stale", namespace=world.node)
    true = [frames.advertisement(world.a.mac, world.a.address6, world.a.address6)]
    assert believed(world, 6, world.a.address6, true, forget=False) == world.a.mac


def believed(
    world: World, version: int, victim: str, sent: list[bytes], *, forget: bool = True
) -> str | None:
    """Whom the host takes for the victim on the liar's link after these frames; then forgotten."""
    what = "arp" if version == 4 else "icmp6"
    with Capture(world.a.namespace, "eth0", what, direction="out") as seen:
        world.a.send_frames(*sent)
        assert seen.counted(len(sent)) >= len(sent)
    found = world.neighbours(world.a.link, version).get(victim)
    if forget:
        netns.ip("neigh", "flush", "dev", world.a.link, namespace=world.node)
    return found


def test_no_router_advertisement_of_a_pod_is_heard(world: World) -> None:
    world.switch(world.node, f"ipv6/conf/{world.a.link}/accept_ra", "2")
    body = bytes([64, 0, 0, 90]) + bytes(8)
    lie = frames.icmpv6("fe80::7", "ff02::1", frames.ROUTER_ADVERT, body)
    frame = [frames.ethernet("33:33:00:00:00:01", world.a.mac, 0x86DD, lie)]

    def learned() -> str:
        world.a.send_frames(*frame)
        time.sleep(0.5)
        found = netns.ip("-6", "route", "show", "default", namespace=world.node)
        netns.ip("-6", "route", "flush", "default", namespace=world.node)
        return found

    assert "fe80::7" in learned(), "control: the host takes the pod for its router"
    guarded(world)
    assert learned() == ""


def test_a_frame_to_another_pods_card_goes_nowhere(world: World) -> None:
    """Pods share no wire: whatever MAC a frame is for, only the host's own is heard, and routed."""
    guarded(world)
    packet = frames.udp(world.a.address, world.b.address, 9)
    to_host = frames.framed(packet, source_mac=world.a.mac)
    to_pod = frames.framed(packet, source_mac=world.a.mac, destination_mac=world.b.mac)
    with Capture(world.b.namespace, "eth0", "udp port 9", direction="in") as seen:
        world.a.send_frames(*[to_pod] * TIMES)
        assert seen.counted(0) == 0
        world.a.send_frames(to_host)
        assert seen.counted(1) == 1, "control: the way through the host"
