"""Traffic controls of pods' endpoints: felix as a process, and traffic that is measured.

Rates are compared with the unlimited one of the same run; what a limit lets through is bounded above
by the limit itself, and below only loosely, because the machine may be busy.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from felix_py.kernel.traffic_control import queue_link
from tests.functional.agent.felix_node import FelixNode
from tests.support import netns, traffic
from tests.support.netns import Namespaces

pytestmark = [pytest.mark.root, pytest.mark.etcd]

LINK = "cali0000000001"
POD, OUTSIDE, GATEWAY = "10.244.0.7", "198.51.100.2", "169.254.1.1"
APPLY_SECONDS = 5.0
"""Promised are 2 s, on a machine that has the time."""
LIMIT_BITS = 20_000_000
BURST_BITS = 1_000_000
SECONDS = 1.0


@dataclass
class World:
    """A node with felix, a pod on it, and a host outside that the node forwards to."""

    node: FelixNode
    pod: str
    outside: str

    def limit(self, **controls: Any) -> str:
        """Write the endpoint, as an operator's edit would leave it."""
        spec: dict[str, Any] = {"qosControls": controls} if controls else {}
        return self.node.put_endpoint("a", f"{POD}/32", link=LINK, **spec)

    def shaped(self, link: str = LINK) -> int | None:
        """The rate of the bucket on a link, bytes per second; None: there is none."""
        argv = ("tc", "-j", "qdisc", "show", "dev", link)
        shown = netns.run(self.node.namespace, *argv, check=False)
        found = [each for each in json.loads(shown or "[]") if each["kind"] == "tbf"]
        return found[0]["options"]["rate"] if found else None

    def table(self) -> list[dict[str, Any]]:
        """felix's table for packets and connections as nft lists it; empty: there is none."""
        argv = ("nft", "-j", "list", "table", "inet", "felix-py-qos")
        shown = netns.run(self.node.namespace, *argv, check=False)
        found: list[dict[str, Any]] = json.loads(shown)["nftables"] if shown else []
        return found

    def soon(self, holds: Callable[[], object]) -> None:
        self.node.until(holds, APPLY_SECONDS)

    def towards_pod(self) -> float:
        return traffic.bytes_per_second(self.outside, self.pod, POD, SECONDS)

    def from_pod(self) -> float:
        return traffic.bytes_per_second(self.pod, self.outside, OUTSIDE, SECONDS)


@pytest.fixture
def world(node: FelixNode, namespaces: Namespaces) -> World:
    pod, outside = namespaces.create(), namespaces.create()
    netns.veth((node.namespace, LINK), (pod, "eth0"))
    node.ip("link", "set", LINK, "address", "ee:ee:ee:ee:ee:ee")
    node.ip("link", "set", LINK, "alias", "k8s-pod-network.c1")
    netns.address(pod, "eth0", f"{POD}/32")
    for command in (
        ("route", "add", GATEWAY, "dev", "eth0", "scope", "link"),
        ("route", "add", "default", "via", GATEWAY, "dev", "eth0"),
        ("neigh", "add", GATEWAY, "lladdr", "ee:ee:ee:ee:ee:ee", "dev", "eth0"),
    ):
        netns.ip(*command, namespace=pod)
    netns.veth((node.namespace, "out0"), (outside, "eth0"))
    netns.address(node.namespace, "out0", "198.51.100.1/24")
    netns.address(outside, "eth0", f"{OUTSIDE}/24")
    netns.ip("route", "add", "default", "via", "198.51.100.1", namespace=outside)
    node.start()
    made = World(node, pod, outside)
    made.limit()
    node.until(lambda: netns.succeeds(outside, "ping", "-c1", "-W1", POD), 10)
    return made


def test_what_comes_to_a_pod_keeps_to_its_limit_and_runs_free_again(world: World) -> None:
    free = world.towards_pod()
    world.limit(ingressBandwidth=LIMIT_BITS, ingressBurst=BURST_BITS)
    world.soon(lambda: world.shaped() == LIMIT_BITS // 8)
    limited = world.towards_pod()
    assert free > 3 * limited
    assert 0.4 < limited / (LIMIT_BITS / 8) < 1.2
    assert world.from_pod() > 3 * limited, "the other direction is as it was"
    world.limit()
    world.soon(lambda: world.shaped() is None)
    assert world.towards_pod() > 3 * limited


def test_what_a_pod_sends_keeps_to_its_limit_and_runs_free_again(world: World) -> None:
    free = world.from_pod()
    world.limit(egressBandwidth=LIMIT_BITS, egressBurst=BURST_BITS)
    world.soon(lambda: world.shaped(queue_link(LINK)) == LIMIT_BITS // 8)
    limited = world.from_pod()
    assert free > 3 * limited
    assert 0.4 < limited / (LIMIT_BITS / 8) < 1.2
    assert world.towards_pod() > 3 * limited, "the other direction is as it was"
    world.limit()
    world.soon(
        lambda: not netns.succeeds(world.node.namespace, "ip", "link", "show", queue_link(LINK))
    )
    assert world.from_pod() > 3 * limited


def test_a_changed_limit_is_in_force_at_once(world: World) -> None:
    for rate in (LIMIT_BITS, 4 * LIMIT_BITS, LIMIT_BITS // 2):
        world.limit(ingressBandwidth=rate, egressBandwidth=2 * rate)
        world.soon(lambda rate=rate: world.shaped() == rate // 8)  # type: ignore[misc]
        world.soon(lambda rate=rate: world.shaped(queue_link(LINK)) == rate // 4)  # type: ignore[misc]


@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_packets_above_the_rate_are_dropped(world: World, way: str) -> None:
    ends = (
        (world.outside, world.pod, POD) if way == "ingress" else (world.pod, world.outside, OUTSIDE)
    )
    assert traffic.datagrams_received(*ends, count=200, per_second=400) == 200
    world.limit(**{f"{way}PacketRate": 50, f"{way}PacketBurst": 5})
    world.soon(world.table)
    started = time.monotonic()
    arrived = traffic.datagrams_received(*ends, count=200, per_second=400)
    seconds = time.monotonic() - started - traffic.QUIET_SECONDS
    assert 10 <= arrived <= min(150, 50 * seconds + 15)
    back = ends[1], ends[0], OUTSIDE if way == "ingress" else POD
    assert traffic.datagrams_received(*back, count=200, per_second=400) == 200
    world.limit()
    world.soon(lambda: not world.table())


@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_connections_above_the_limit_are_refused(world: World, way: str) -> None:
    ends = (
        (world.outside, world.pod, POD) if way == "ingress" else (world.pod, world.outside, OUTSIDE)
    )
    with traffic.connections(*ends) as open_one:
        assert [open_one() for _ in range(6)] == [True] * 6
    world.limit(**{f"{way}MaxConnections": 3})
    world.soon(world.table)
    with traffic.connections(*ends) as open_one:
        assert [open_one() for _ in range(6)] == [True] * 3 + [False] * 3
    world.limit()
    world.soon(lambda: not world.table())
    with traffic.connections(*ends) as open_one:
        assert [open_one() for _ in range(6)] == [True] * 6


def test_a_restart_takes_everything_over_and_forgets_no_connection(world: World) -> None:
    world.limit(
        ingressMaxConnections=3, dscp="EF", egressBandwidth=LIMIT_BITS, ingressBandwidth=LIMIT_BITS
    )
    world.soon(world.table)
    world.soon(lambda: world.shaped(queue_link(LINK)))
    with traffic.connections(world.outside, world.pod, POD) as open_one:
        assert [open_one() for _ in range(4)] == [True] * 3 + [False]
        before = world.table(), _index(world, queue_link(LINK))
        world.node.stop(signal.SIGKILL)
        world.node.start()
        world.node.until(lambda: world.node.status.get("qos", {}).get("limited") == 1)
        time.sleep(1)
        assert not open_one()
        assert (world.table(), _index(world, queue_link(LINK))) == before


def test_another_pods_change_forgets_no_connection(world: World) -> None:
    world.limit(ingressMaxConnections=3)
    world.soon(world.table)
    other = "cali0000000002"
    world.node.pod_link(other, "k8s-pod-network.c2")
    with traffic.connections(world.outside, world.pod, POD) as open_one:
        assert [open_one() for _ in range(4)] == [True] * 3 + [False]
        before = len(world.table())
        world.node.put_endpoint(
            *("b", "10.244.0.8/32"),
            link=other,
            container="c2",
            qosControls={"ingressMaxConnections": 9},
        )
        world.soon(lambda: len(world.table()) > before)
        assert not open_one()


def test_dscp_is_written_on_what_leaves_and_not_between_pools(world: World) -> None:
    assert _tos_seen(world) == "0x0"
    world.limit(dscp="EF")
    world.soon(world.table)
    assert _tos_seen(world) == "0xb8"
    world.node.put_resource("ippools/far", "IPPool", {"cidr": "198.51.100.0/24", "blockSize": 26})
    world.soon(lambda: "198.51.100.0" in json.dumps(world.table()))
    assert _tos_seen(world) == "0x0"


@pytest.mark.parametrize(
    "damage", ["nft flush ruleset", "nft flush chain inet felix-py-qos forwarded"]
)
def test_rules_that_somebody_took_away_are_back_at_once(world: World, damage: str) -> None:
    world.limit(ingressMaxConnections=3)
    world.soon(world.table)
    before = _without_handles(world.table())
    netns.run(world.node.namespace, *damage.split())
    world.soon(lambda: _without_handles(world.table()) == before)


def test_with_the_endpoint_every_control_goes(world: World) -> None:
    key = world.limit(
        ingressBandwidth=LIMIT_BITS, egressBandwidth=LIMIT_BITS, egressPacketRate=50, dscp=10
    )
    world.soon(world.table)
    world.soon(lambda: world.shaped(queue_link(LINK)))
    world.node.ctl("del", key)
    world.soon(lambda: not world.table())
    world.soon(lambda: world.shaped() is None)
    world.soon(lambda: world.shaped(queue_link(LINK)) is None)


def test_controls_that_cannot_be_meant_are_named_and_cost_the_pod_nothing(world: World) -> None:
    world.limit(ingressBandwidth=5)
    world.soon(
        lambda: "spec.qosControls.ingressBandwidth" in json.dumps(world.node.status["warnings"])
    )
    assert world.node.route(POD)
    assert world.shaped() is None


def _without_handles(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {kind: {k: v for k, v in what.items() if k != "handle"} for kind, what in entry.items()}
        for entry in table
    ]


def _index(world: World, name: str) -> int:
    links = netns.ip_json("link", namespace=world.node.namespace)
    return int(next(link["ifindex"] for link in links if link["ifname"] == name))


def _tos_seen(world: World) -> str:
    """The TOS byte of a ping from the pod as tcpdump sees it outside."""
    capture = subprocess.Popen(
        netns.command(world.outside, "tcpdump", "-n", "-v", "-l", "-c", "1", "-i", "eth0", "icmp"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        deadline = time.monotonic() + 15
        while capture.poll() is None and time.monotonic() < deadline:
            netns.run(world.pod, "ping", "-c1", "-W1", OUTSIDE, check=False)
        text, _ = capture.communicate(timeout=5)
    finally:
        capture.kill()
        capture.wait()
    return text.partition("tos ")[2].partition(",")[0]
