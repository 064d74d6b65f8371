"""The tunnel driver on the real kernel: VXLAN devices, their addresses and their far ends."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from felix_py.kernel.ownership import TUNNEL_ALIAS
from felix_py.kernel.tunnel_device import TunnelDevice
from felix_py.kernel.tunnel_links import NetlinkTunnelLinks
from felix_py.kernel.tunnel_model import FaultReason, TunnelWish, Vtep, VxlanShape
from tests.functional.kernel.conftest import Host
from tests.support import netns

pytestmark = pytest.mark.root

NAME = "vxlan.calico"
MAC = "66:93:7f:54:d5:53"
FAR, NODE = IPv4Address("10.244.9.1"), IPv4Address("10.0.0.2")
FAR_MAC = "66:e2:6c:ca:0c:ad"


@pytest.fixture
def links(host: Host) -> Iterator[NetlinkTunnelLinks]:
    with NetlinkTunnelLinks(netns=host.namespace) as opened:
        yield opened


def wish(host: Host, **changes: Any) -> TunnelWish:
    values: dict[str, Any] = {
        "name": NAME,
        "link_kind": "vxlan",
        "mtu": 1450,
        "address": IPv4Address("10.244.1.1"),
        "mac": MAC,
        "shape": VxlanShape(4096, 4789, IPv4Address("10.0.0.1"), host.up0),
        "remotes": {FAR: Vtep(FAR_MAC, NODE)},
    }
    return TunnelWish(**{**values, **changes})


def shown(host: Host, name: str = NAME) -> dict[str, Any]:
    found = [
        link
        for link in netns.ip_json("address", namespace=host.namespace)
        if link["ifname"] == name
    ]
    return found[0] if found else {}


def addresses(host: Host, name: str = NAME) -> list[str]:
    info = shown(host, name).get("addr_info", [])
    return [f"{each['local']}/{each['prefixlen']}" for each in info if each["scope"] != "link"]


def forwarding(host: Host) -> list[str]:
    lines = netns.run(host.namespace, "bridge", "fdb", "show", "dev", NAME).splitlines()
    return sorted(" ".join(line.split()) for line in lines)


def neighbours(host: Host, family: str = "-4") -> list[tuple[str, str, list[str]]]:
    found = netns.ip_json(family, "neigh", "show", "dev", NAME, namespace=host.namespace)
    return [(each["dst"], each.get("lladdr", ""), each["state"]) for each in found]


def device(links: NetlinkTunnelLinks, wanted: TunnelWish | None) -> TunnelDevice:
    made = TunnelDevice(NAME, 4, links)
    made.want(wanted)
    return made


def test_a_vxlan_device_is_made_as_wished(host: Host, links: NetlinkTunnelLinks) -> None:
    standing = device(links, wish(host)).apply()
    assert (standing.up, standing.address, standing.fault) == (
        True,
        IPv4Address("10.244.1.1"),
        None,
    )
    link = shown(host)
    data = link["linkinfo"]["info_data"]
    assert (link["mtu"], link["address"], link["ifalias"]) == (1450, MAC, TUNNEL_ALIAS)
    assert "UP" in link["flags"]
    assert (data["id"], data["port"], data["local"], data["link"]) == (
        4096, 4789, "10.0.0.1", "up0",
    )  # fmt: skip
    assert data["learning"] is False
    assert addresses(host) == ["10.244.1.1/32"]
    assert (
        netns.run(
            host.namespace, "sysctl", "-n", f"net.ipv4.conf.{NAME.replace('.', '/')}.rp_filter"
        )
        == "2\n"
    )
    assert forwarding(host) == [f"{FAR_MAC} dst 10.0.0.2 self permanent"]
    assert neighbours(host) == [("10.244.9.1", FAR_MAC, ["PERMANENT"])]


def test_a_device_that_stands_is_left_as_it_is_by_a_fresh_process(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    device(links, wish(host)).apply()
    before = shown(host)["ifindex"]
    assert device(links, wish(host)).apply().up
    assert shown(host)["ifindex"] == before


@pytest.mark.parametrize(
    "shape",
    [
        VxlanShape(4097, 4789, IPv4Address("10.0.0.1"), 0),
        VxlanShape(4096, 4790, IPv4Address("10.0.0.1"), 0),
        VxlanShape(4096, 4789, IPv4Address("10.0.0.9"), 0),
    ],
)
def test_a_device_of_another_shape_is_made_anew(
    host: Host, links: NetlinkTunnelLinks, shape: VxlanShape
) -> None:
    keeper = device(links, wish(host))
    keeper.apply()
    fresh = VxlanShape(shape.vni, shape.port, shape.local, host.up0)
    keeper.want(wish(host, shape=fresh))
    assert keeper.apply().up
    data = shown(host)["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["local"]) == (
        shape.vni, shape.port, str(shape.local),
    )  # fmt: skip
    assert forwarding(host) == [f"{FAR_MAC} dst 10.0.0.2 self permanent"]


def test_a_device_goes_to_the_new_parent_of_the_nodes_address(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    keeper = device(links, wish(host))
    keeper.apply()
    moved = VxlanShape(4096, 4789, IPv4Address("10.0.1.1"), host.up1)
    keeper.want(wish(host, shape=moved))
    assert keeper.apply().up
    assert shown(host)["linkinfo"]["info_data"]["link"] == "up1"


def test_what_others_change_on_the_device_is_put_right(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    keeper = device(links, wish(host))
    keeper.apply()
    for command in (
        ("link", "set", NAME, "down"),
        ("link", "set", NAME, "mtu", "1300"),
        ("link", "set", NAME, "address", "02:00:00:00:00:01"),
        ("address", "add", "10.9.9.9/24", "dev", NAME),
        ("address", "del", "10.244.1.1/32", "dev", NAME),
    ):
        netns.ip(*command, namespace=host.namespace)
    assert keeper.apply().up
    link = shown(host)
    assert (link["mtu"], link["address"], "UP" in link["flags"]) == (1450, MAC, True)
    assert addresses(host) == ["10.244.1.1/32"]


def test_far_ends_follow_what_is_wanted_and_nothing_else_is_written(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    keeper = device(links, wish(host))
    keeper.apply()
    other = IPv4Address("10.244.10.1")
    keeper.want(
        wish(
            host,
            remotes={
                FAR: Vtep(FAR_MAC, IPv4Address("10.0.0.3")),
                other: Vtep("66:00:00:00:00:01", NODE),
            },
        )
    )
    keeper.apply()
    assert forwarding(host) == [
        "66:00:00:00:00:01 dst 10.0.0.2 self permanent",
        f"{FAR_MAC} dst 10.0.0.3 self permanent",
    ]
    assert sorted(each[0] for each in neighbours(host)) == ["10.244.10.1", "10.244.9.1"]
    keeper.want(wish(host, remotes={}))
    keeper.apply()
    assert forwarding(host) == []
    assert neighbours(host) == []


@pytest.mark.parametrize(
    "damage",
    [
        ("bridge", "fdb", "del", FAR_MAC, "dev", NAME, "dst", "10.0.0.2"),
        ("bridge", "fdb", "replace", FAR_MAC, "dev", NAME, "dst", "10.0.0.77"),
        ("bridge", "fdb", "add", "66:00:00:00:00:09", "dev", NAME, "dst", "10.0.0.79"),
        ("ip", "neigh", "del", "10.244.9.1", "dev", NAME),
        ("ip", "neigh", "replace", "10.244.9.1", "lladdr", "66:00:00:00:00:0a", "dev", NAME),
        ("ip", "neigh", "replace", "10.244.9.1", "lladdr", FAR_MAC, "nud", "reachable", "dev", NAME),
        ("ip", "neigh", "add", "10.244.77.1", "lladdr", FAR_MAC, "dev", NAME),
    ],
)  # fmt: skip
def test_an_event_tells_of_a_damaged_far_end_and_it_is_put_back(
    host: Host, links: NetlinkTunnelLinks, damage: tuple[str, ...]
) -> None:
    keeper = device(links, wish(host))
    keeper.apply()
    index = keeper.index
    assert index is not None
    interest = frozenset({index})
    _settle(keeper, links, interest)
    netns.run(host.namespace, *damage)
    told = links.events(interest)
    assert told is not None
    assert any(keeper.note(event) for event in told[1])
    assert keeper.apply().fault is None
    assert forwarding(host) == [f"{FAR_MAC} dst 10.0.0.2 self permanent"]
    assert neighbours(host) == [("10.244.9.1", FAR_MAC, ["PERMANENT"])]


def test_a_second_node_for_a_mac_is_found_when_everything_is_read(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    """The event of an appended node names the first one: it tells nothing."""
    keeper = device(links, wish(host))
    keeper.apply()
    netns.run(host.namespace, "bridge", "fdb", "append", FAR_MAC, "dev", NAME, "dst", "10.0.0.78")
    keeper.distrust()
    assert keeper.apply().fault is None
    assert forwarding(host) == [f"{FAR_MAC} dst 10.0.0.2 self permanent"]


def _settle(keeper: TunnelDevice, links: NetlinkTunnelLinks, interest: frozenset[int]) -> None:
    """Our own writes come back as events, none of which contradicts what is wanted."""
    told = links.events(interest)
    assert told is not None
    assert told[0] == interest
    assert not any(keeper.note(event) for event in told[1])


def test_a_device_of_another_kind_is_reported_and_left_alone(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    netns.ip("link", "add", NAME, "type", "bridge", namespace=host.namespace)
    standing = device(links, wish(host)).apply()
    assert standing.fault is not None
    assert standing.fault.reason is FaultReason.FOREIGN_DEVICE
    assert "bridge" in standing.fault.message
    assert shown(host)["linkinfo"]["info_kind"] == "bridge"


def test_a_vni_that_another_device_has_is_reported_with_what_to_do(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    netns.ip(
        *("link", "add", "other", "type", "vxlan", "id", "4096", "dstport", "4789"),
        *("local", "10.0.0.1", "dev", "up0"),
        namespace=host.namespace,
    )
    netns.ip("link", "set", "other", "up", namespace=host.namespace)
    standing = device(links, wish(host)).apply()
    assert standing.fault is not None
    assert standing.fault.reason is FaultReason.REFUSED
    assert "vxlanPort" in standing.fault.remedy
    assert shown(host, "other") != {}


def test_a_kernel_without_the_kind_is_said_to_have_none(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    keeper = TunnelDevice("tunl0", 4, links)
    keeper.want(TunnelWish("tunl0", "ipip", 1480, IPv4Address("10.244.1.1")))
    standing = keeper.apply()
    if standing.fault is None:
        assert standing.up  # this kernel has ipip; tests/vm shows what it does there
        return
    assert standing.fault.reason is FaultReason.NO_KERNEL_SUPPORT
    assert "ipip" in standing.fault.message
    assert "vxlanMode" in standing.fault.remedy


def test_only_a_device_that_carries_the_mark_is_retired(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    netns.ip(
        *("link", "add", NAME, "type", "vxlan", "id", "4096", "dstport", "4789"),
        *("local", "10.0.0.1", "dev", "up0"),
        namespace=host.namespace,
    )
    assert device(links, None).apply().present
    assert shown(host) != {}
    assert device(links, wish(host)).apply().up
    assert not device(links, None).apply().present
    assert shown(host) == {}


def test_a_device_without_a_wished_address_keeps_what_it_has(
    host: Host, links: NetlinkTunnelLinks
) -> None:
    keeper = device(links, wish(host))
    keeper.apply()
    keeper.want(wish(host, address=None))
    assert keeper.apply().address == IPv4Address("10.244.1.1")
    assert addresses(host) == ["10.244.1.1/32"]


def test_vxlan_over_ipv6_has_its_own_device(host: Host, links: NetlinkTunnelLinks) -> None:
    keeper = TunnelDevice("vxlan-v6.calico", 6, links)
    far = IPv6Address("fd00:244::9")
    keeper.want(
        TunnelWish(
            "vxlan-v6.calico",
            "vxlan",
            1430,
            IPv6Address("fd00:244::1"),
            "66:d8:48:96:ab:01",
            VxlanShape(4096, 4789, IPv6Address("fd00::1"), host.up0),
            {far: Vtep(FAR_MAC, IPv6Address("fd00::2"))},
        )
    )
    both = device(links, wish(host))
    assert both.apply().up
    standing = keeper.apply()
    assert (standing.up, standing.address, standing.fault) == (
        True,
        IPv6Address("fd00:244::1"),
        None,
    )
    assert addresses(host, "vxlan-v6.calico") == ["fd00:244::1/128"]
    found = netns.ip_json("-6", "neigh", "show", "dev", "vxlan-v6.calico", namespace=host.namespace)
    assert [(each["dst"], each["lladdr"]) for each in found] == [("fd00:244::9", FAR_MAC)]
