"""The tunnel manager on the real kernel: two nodes, VXLAN between them, and what happens to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from felix_py.agent.calc.mtu import Encapsulation
from felix_py.agent.managers.far_ends import LINGER_SECONDS
from felix_py.agent.managers.tunnel_keeper import GRACE_SECONDS
from felix_py.agent.managers.tunnels import TunnelManager
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.datastore.model import EncapMode, IPPool, Metadata, Node, NodeName, PoolName, Stored
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from felix_py.kernel.tunnel_links import NetlinkTunnelLinks
from tests.support import netns
from tests.support.netns import Namespaces

pytestmark = pytest.mark.root

ALL = Dirty(everything=True)
POOL = IPPool(Metadata("pods"), ip_network("10.244.0.0/16"), 26, vxlan_mode=EncapMode.ALWAYS)
SIX = IPPool(Metadata("six"), ip_network("fd00:244::/64"), 122, vxlan_mode=EncapMode.ALWAYS)
IPIP = IPPool(Metadata("ipip"), ip_network("10.245.0.0/16"), 26, ipip_mode=EncapMode.CROSS_SUBNET)


@dataclass
class Side:
    """A node: its namespace, and a manager in it whose clock the test turns."""

    name: NodeName
    number: int
    namespace: str
    kernel: Pyroute2Kernel
    links: NetlinkTunnelLinks
    manager: TunnelManager = field(init=False)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """As a process with an empty memory."""
        self.manager = TunnelManager(self.links, lambda: 0)

    def snapshot(self, *pools: IPPool, nodes: dict[NodeName, Stored[Node]]) -> Snapshot:
        index = next(link.index for link in self.kernel.links() if link.name == "eth0")
        return Snapshot(
            me=self.name,
            pools={PoolName(pool.name): pool for pool in pools},
            nodes=nodes,
            tunnel_addresses={
                "ipipTunnelAddress": IPv4Address(f"10.245.{self.number}.1"),
                "vxlanTunnelAddress": IPv4Address(f"10.244.{self.number}.1"),
                "vxlanV6TunnelAddress": IPv6Address(f"fd00:244::{self.number}:1"),
            },
            uplinks={4: index, 6: index},
        )

    def round(self, seconds: float = 0.5, *, sweep: bool = False) -> bool:
        self.now += seconds
        return self.manager.apply(self.now, self.kernel.links(), sweep=sweep)

    def shown(self, name: str) -> dict[str, Any]:
        links = netns.ip_json("link", namespace=self.namespace)
        return next((link for link in links if link["ifname"] == name), {})


def node(number: int, *, published: bool = True) -> Stored[Node]:
    four = IPv4Address(f"10.244.{number}.1") if published else None
    six = IPv6Address(f"fd00:244::{number}:1") if published else None
    value = Node(
        Metadata(f"worker-{number}"),
        ipv4_address=IPv4Interface(f"10.0.0.{number}/24"),
        ipv6_address=IPv6Interface(f"fd00::{number}/64"),
        ipv4_vxlan_tunnel_address=four,
        ipv6_vxlan_tunnel_address=six,
    )
    return Stored(value, b"{}", 1, 1)


NODES = {NodeName("worker-1"): node(1), NodeName("worker-2"): node(2)}


@pytest.fixture
def sides(namespaces: Namespaces) -> Iterator[tuple[Side, Side]]:
    names = namespaces.create(), namespaces.create()
    netns.veth((names[0], "eth0"), (names[1], "eth0"))
    made = []
    for number, name in enumerate(names, 1):
        netns.address(name, "eth0", f"10.0.0.{number}/24", f"fd00::{number}/64")
        kernel, links = Pyroute2Kernel(netns=name), NetlinkTunnelLinks(netns=name)
        made.append(Side(NodeName(f"worker-{number}"), number, name, kernel, links))
    yield made[0], made[1]
    for side in made:
        side.kernel.close()
        side.links.close()


def bring_up(side: Side, *pools: IPPool) -> None:
    side.manager.decide(ALL, side.snapshot(*pools, nodes=NODES))
    assert side.round()


def pod_like(side: Side, far: int) -> None:
    """Addresses of a pod on the loopback, and the route to the other node's by the tunnel."""
    netns.ip("address", "add", f"10.244.{side.number}.10/32", "dev", "lo", namespace=side.namespace)
    six = f"fd00:244::{side.number}:10/128"
    netns.ip("-6", "address", "add", six, "dev", "lo", "nodad", namespace=side.namespace)
    for family, prefix, gateway, device in (
        ("-4", f"10.244.{far}.0/26", f"10.244.{far}.1", "vxlan.calico"),
        ("-6", f"fd00:244::{far}:0/122", f"fd00:244::{far}:1", "vxlan-v6.calico"),
    ):
        route = (prefix, "via", gateway, "dev", device, "onlink")
        netns.ip(family, "route", "add", *route, namespace=side.namespace)


def captured(side: Side, tmp_path: Path, *ping: str) -> str:
    """What passed the other end of the cable while this side pinged."""
    file = tmp_path / "capture"
    argv = [
        "tcpdump",
        "-i",
        "eth0",
        "-n",
        "-U",
        "--immediate-mode",
        "-Z",
        "root",
        "-w",
        str(file),
        "udp",
    ]
    capture = subprocess.Popen(
        netns.command(side.namespace, *argv), stderr=subprocess.PIPE, text=True
    )
    assert capture.stderr is not None
    assert "listening" in capture.stderr.readline()
    try:
        netns.run(side.namespace, "ping", "-c", "2", "-i", "0.2", "-W", "5", *ping)
    finally:
        capture.terminate()
        capture.communicate(timeout=10)
    return netns.run(side.namespace, "tcpdump", "-n", "-v", "-r", str(file))


def test_pods_traffic_crosses_in_vxlan_with_our_vni_and_port(
    sides: tuple[Side, Side], tmp_path: Path
) -> None:
    one, two = sides
    for side, far in ((one, 2), (two, 1)):
        bring_up(side, POOL, SIX)
        pod_like(side, far)
    seen = captured(two, tmp_path, "-I", "10.244.2.10", "10.244.1.10")
    assert "10.0.0.2" in seen
    assert "10.0.0.1.4789: VXLAN, flags [I] (0x08), vni 4096" in seen
    assert "10.244.2.10 > 10.244.1.10: ICMP echo request" in seen
    seen = captured(two, tmp_path, "-I", "fd00:244::2:10", "fd00:244::1:10")
    assert "fd00::1.4789: " in seen
    assert "VXLAN, flags [I] (0x08), vni 4096" in seen
    assert "fd00:244::2:10 > fd00:244::1:10" in seen
    published = one.manager.published
    assert published.vxlan == {
        4: (IPv4Address("10.244.1.1"), "66:93:7f:54:d5:53"),
        6: (IPv6Address("fd00:244::1:1"), "66:d8:48:96:ab:01"),
    }


def test_a_deleted_forwarding_entry_and_neighbour_are_back_by_the_next_round(
    sides: tuple[Side, Side],
) -> None:
    one = sides[0]
    bring_up(one, POOL)
    one.round()
    mac = "66:e2:6c:ca:0c:ad"
    netns.run(one.namespace, "bridge", "fdb", "del", mac, "dev", "vxlan.calico", "dst", "10.0.0.2")
    netns.ip("neigh", "del", "10.244.2.1", "dev", "vxlan.calico", namespace=one.namespace)
    one.round()
    assert mac in netns.run(one.namespace, "bridge", "fdb", "show", "dev", "vxlan.calico")
    found = netns.ip_json("neigh", "show", "dev", "vxlan.calico", namespace=one.namespace)
    assert [(each["dst"], each["lladdr"]) for each in found] == [("10.244.2.1", mac)]


def test_without_any_event_the_next_round_writes_nothing(sides: tuple[Side, Side]) -> None:
    """The control of the test above: entries are put back because of events, not always."""
    one = sides[0]
    bring_up(one, POOL)
    one.round()
    assert one.links.events(frozenset({one.shown("vxlan.calico")["ifindex"]})) == (frozenset(), ())
    one.round()
    index = one.shown("vxlan.calico")["ifindex"]
    assert one.links.events(frozenset({index})) == (frozenset(), ())


def test_a_deleted_device_is_made_again(sides: tuple[Side, Side]) -> None:
    one = sides[0]
    bring_up(one, POOL)
    netns.ip("link", "del", "vxlan.calico", namespace=one.namespace)
    one.round()
    assert "UP" in one.shown("vxlan.calico")["flags"]
    assert Encapsulation.VXLAN in one.manager.standing


def test_a_far_end_leaves_after_its_routes_had_time(sides: tuple[Side, Side]) -> None:
    one = sides[0]
    bring_up(one, POOL)
    gone = {**NODES, NodeName("worker-2"): node(2, published=False)}
    one.manager.decide(ALL, one.snapshot(POOL, nodes=gone))
    one.round()
    table = netns.run(one.namespace, "bridge", "fdb", "show", "dev", "vxlan.calico")
    assert "10.0.0.2" in table
    one.round(LINGER_SECONDS)
    assert netns.run(one.namespace, "bridge", "fdb", "show", "dev", "vxlan.calico") == ""


def test_a_tunnel_nobody_wants_is_unpublished_at_once_and_goes_after_its_grace(
    sides: tuple[Side, Side],
) -> None:
    one = sides[0]
    bring_up(one, POOL)
    one.manager.decide(ALL, one.snapshot(nodes=NODES))
    one.round()
    assert one.manager.standing == {}
    assert one.manager.published.vxlan == {}
    one.round(GRACE_SECONDS - 10)
    assert "UP" in one.shown("vxlan.calico")["flags"]
    one.restart()
    one.manager.decide(ALL, one.snapshot(nodes=NODES))
    one.round(GRACE_SECONDS - 10)
    one.round(GRACE_SECONDS - 10)
    assert "UP" in one.shown("vxlan.calico")["flags"]
    one.round(20)
    assert one.shown("vxlan.calico") == {}
    assert one.manager.report() == {"devices": []}


def test_a_kernel_without_ipip_is_named_with_pool_mode_reason_and_remedy(
    sides: tuple[Side, Side],
) -> None:
    one = sides[0]
    bring_up(one, POOL, IPIP)
    if Encapsulation.IPIP in one.manager.standing:
        pytest.skip("kernel lacks nothing: it has ipip")
    assert Encapsulation.VXLAN in one.manager.standing
    assert one.manager.published.ipip is None
    (said,) = one.manager.warnings()
    for word in ("pool ipip", "ipipMode CrossSubnet", "this kernel has no ipip", "vxlanMode"):
        assert word in said
    devices = {each["device"]: each for each in one.manager.report()["devices"]}  # type: ignore[attr-defined]
    assert devices["tunl0"]["reason"] == "NoKernelSupport"
    assert devices["tunl0"]["pools"] == ["pool ipip, ipipMode CrossSubnet"]
    assert devices["vxlan.calico"]["state"] == "standing"


def test_a_foreign_device_is_reported_until_it_is_gone(sides: tuple[Side, Side]) -> None:
    one = sides[0]
    netns.ip("link", "add", "vxlan.calico", "type", "bridge", namespace=one.namespace)
    bring_up(one, POOL)
    assert one.manager.standing == {}
    assert "bridge" in one.manager.warnings()[0]
    netns.ip("link", "del", "vxlan.calico", namespace=one.namespace)
    one.round()
    assert Encapsulation.VXLAN in one.manager.standing
    assert list(one.manager.warnings()) == []


def test_a_smaller_uplink_makes_the_tunnel_smaller(sides: tuple[Side, Side]) -> None:
    one = sides[0]
    bring_up(one, POOL)
    netns.ip("link", "set", "eth0", "mtu", "1400", namespace=one.namespace)
    one.round()
    assert one.shown("vxlan.calico")["mtu"] == 1350
