"""The traffic control driver on the real kernel, read back with tc's and ip's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from felix_py.kernel.netlink_format import Message
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.qdisc_model import Bucket, Shaping
from felix_py.kernel.traffic_control import TrafficControl, queue_link
from tests.functional.kernel.conftest import Host
from tests.support import netns

pytestmark = pytest.mark.root

LINK = "cali0000000001"
QUEUE = queue_link(LINK)
FOREIGN = ("tbf", "rate", "5mbit", "burst", "5000", "limit", "9000")
SLOW = Bucket(rate=1_250_000, burst=125_000, limit=156_250)
FAST = Bucket(rate=2_500_000, burst=250_000, limit=312_500)
HUGE = Bucket(rate=10**13, burst=2**32 - 1, limit=2**32 - 1, peak_rate=2 * 10**13, min_burst=10**6)


@dataclass
class Node:
    """A namespace with one pod's link, and the driver."""

    namespace: str
    kernel: Pyroute2Kernel
    driver: TrafficControl

    def go(self, wishes: dict[str, Shaping], *, sweep: bool = False) -> bool:
        """Two rounds of the loop: the second sees the links that the first made."""
        self.driver.want(wishes)
        well = self.driver.apply(self.kernel.links(), sweep=sweep)
        return self.driver.apply(self.kernel.links(), sweep=sweep) and well

    def tc(self, *arguments: str) -> Any:
        return json.loads(netns.run(self.namespace, "tc", "-j", *arguments) or "[]")

    def root(self, link: str = LINK) -> dict[str, Any]:
        found = self.tc("qdisc", "show", "dev", link)
        return next((each for each in found if each.get("root")), {})

    def ingress(self) -> list[dict[str, Any]]:
        found = self.tc("qdisc", "show", "dev", LINK)
        return [each for each in found if each["kind"] in {"ingress", "clsact"}]

    def filters(self) -> list[str]:
        text = netns.run(self.namespace, "tc", "filter", "show", "dev", LINK, "ingress")
        return [line.strip() for line in text.splitlines() if "mirred" in line]

    def queues(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = netns.ip_json("link", namespace=self.namespace)
        return [link for link in found if link["ifname"].startswith("fpq")]


@pytest.fixture
def node(host: Host, kernel: Pyroute2Kernel) -> Iterator[Node]:
    pod_link(host.namespace)
    with TrafficControl(netns=host.namespace) as driver:
        yield Node(host.namespace, kernel, driver)


def pod_link(namespace: str, name: str = LINK) -> None:
    netns.ip(
        "link", "add", name, "type", "veth", "peer", "name", f"p{name[-9:]}", namespace=namespace
    )
    for link in (name, f"p{name[-9:]}"):
        netns.ip("link", "set", link, "up", namespace=namespace)


def test_both_directions_are_shaped_changed_in_place_and_undone(node: Node) -> None:
    assert node.go({LINK: Shaping(SLOW, FAST)})
    root = node.root()
    assert (root["kind"], root["handle"]) == ("tbf", "fe80:")
    assert (root["options"]["rate"], root["options"]["burst"]) == (1_250_000, 125_000)
    assert node.root(QUEUE)["options"]["rate"] == 2_500_000
    assert node.filters() == [f"action order 1: mirred (Egress Redirect to device {QUEUE}) stolen"]
    (queue,) = node.queues()
    assert (queue["ifname"], queue["ifalias"]) == (QUEUE, f"felix-py qos {LINK}")
    assert "UP" in queue["flags"]
    assert node.go({LINK: Shaping(FAST, SLOW)})
    assert node.root()["options"]["rate"] == 2_500_000
    assert node.root(QUEUE)["options"]["rate"] == 1_250_000
    assert [each["ifindex"] for each in node.queues()] == [queue["ifindex"]]
    assert node.go({})
    assert node.root()["kind"] == "noqueue"
    assert (node.ingress(), node.queues()) == ([], [])


def test_what_stands_as_wished_is_not_written_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = {LINK: Shaping(HUGE, SLOW)}
    assert node.go(wishes)
    sent: list[str] = []

    def demand(doing: str, messages: Sequence[Message]) -> None:
        assert messages
        sent.append(doing)

    monkeypatch.setattr(node.driver._socket, "demand", demand)
    assert node.go(wishes, sweep=True)
    assert sent == []
    assert node.go({LINK: Shaping(HUGE, FAST)}, sweep=True)
    assert sent  # the control: a difference is written


def test_rates_beyond_32_bits_and_peak_rates_are_kept(node: Node) -> None:
    assert node.go({LINK: Shaping(ingress=HUGE)})
    assert node.root()["options"]["rate"] == 10**13
    text = netns.run(node.namespace, "tc", "qdisc", "show", "dev", LINK, "root")
    assert "rate 80Tbit" in text
    assert "peakrate 160Tbit" in text


def test_a_fresh_process_takes_over_and_undoes_what_nobody_wants(node: Node) -> None:
    assert node.go({LINK: Shaping(SLOW, SLOW)})
    before = node.queues()
    with TrafficControl(netns=node.namespace) as afresh:
        again = Node(node.namespace, node.kernel, afresh)
        assert again.go({LINK: Shaping(SLOW, SLOW)})
        assert again.queues() == before
        assert len(again.filters()) == 1
    with TrafficControl(netns=node.namespace) as afresh:
        assert Node(node.namespace, node.kernel, afresh).go({})
    assert node.root()["kind"] == "noqueue"
    assert (node.ingress(), node.queues()) == ([], [])


@pytest.mark.parametrize(
    "damage",
    [
        ("tc", "qdisc", "del", "dev", LINK, "root"),
        ("tc", "qdisc", "del", "dev", LINK, "ingress"),
        ("tc", "filter", "del", "dev", LINK, "ingress"),
        ("tc", "qdisc", "del", "dev", QUEUE, "root"),
        ("ip", "link", "del", QUEUE),
        ("ip", "link", "set", QUEUE, "down"),
    ],
)
def test_what_somebody_took_away_is_put_back(node: Node, damage: tuple[str, ...]) -> None:
    wishes = {LINK: Shaping(SLOW, FAST)}
    assert node.go(wishes)
    netns.run(node.namespace, *damage)
    assert node.go(wishes, sweep=damage[0] == "tc")
    assert node.root()["options"]["rate"] == 1_250_000
    assert node.root(QUEUE)["options"]["rate"] == 2_500_000
    assert [QUEUE in line for line in node.filters()] == [True]
    assert ["UP" in queue["flags"] for queue in node.queues()] == [True]


def test_a_link_that_went_takes_its_queue_along(node: Node) -> None:
    assert node.go({LINK: Shaping(egress=SLOW)})
    netns.ip("link", "del", LINK, namespace=node.namespace)
    assert node.go({LINK: Shaping(egress=SLOW)})
    assert node.queues() == []


def test_somebody_elses_qdisc_and_filter_are_left_alone_and_named(node: Node) -> None:
    tc = ("tc", "qdisc", "add", "dev", LINK)
    netns.run(node.namespace, *tc, "root", "handle", "1:", *FOREIGN)
    netns.run(node.namespace, *tc, "clsact")
    netns.run(
        node.namespace,
        *("tc", "filter", "add", "dev", LINK, "ingress", "prio", "7"),
        *("u32", "match", "u32", "0", "0", "classid", "1:1"),
    )
    assert node.go({LINK: Shaping(SLOW, SLOW)})
    assert "1:" in node.driver.failed[LINK]
    assert node.root()["options"]["rate"] == 625_000
    assert node.go({})
    assert node.root()["handle"] == "1:"
    assert [each["kind"] for each in node.ingress()] == ["clsact"]
    assert node.filters() == []
    text = netns.run(node.namespace, "tc", "filter", "show", "dev", LINK, "ingress")
    assert "pref 7" in text


def test_somebody_elses_redirect_that_comes_first_is_named(node: Node) -> None:
    for command in (
        "ip link add bwp0 up type ifb",
        f"tc qdisc add dev {LINK} ingress",
        (
            f"tc filter add dev {LINK} ingress prio 1 u32 match u32 0 0"
            " action mirred egress redirect dev bwp0"
        ),
    ):
        netns.run(node.namespace, *command.split())
    assert node.go({LINK: Shaping(egress=SLOW)})
    assert "redirects" in node.driver.failed[LINK]
    assert node.go({})
    assert len(node.filters()) == 1, "it is not ours to delete"


def test_a_burst_shorter_than_a_packet_lets_packets_through(node: Node) -> None:
    assert node.go({LINK: Shaping(ingress=Bucket(rate=125_000, burst=125, limit=200))})
    assert node.root()["options"]["burst"] >= 1500
