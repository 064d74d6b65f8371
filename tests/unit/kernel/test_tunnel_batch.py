"""Messages about tunnel devices survive packing and reading; refusals become words."""

from __future__ import annotations

import errno
from ipaddress import IPv4Address, IPv6Address

import pytest

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_dump import read_link
from felix_py.kernel.model import IPAddress
from felix_py.kernel.neighbour_dump import read_forwarding, read_neighbour
from felix_py.kernel.netlink_format import HEADER, Message
from felix_py.kernel.tunnel_batch import change_entry, create_tunnel
from felix_py.kernel.tunnel_dump import read_tunnel
from felix_py.kernel.tunnel_model import (
    FaultReason,
    PutForwarding,
    PutNeighbour,
    TunnelLink,
    TunnelWish,
    VxlanShape,
    fault_of,
)

IPIP = TunnelWish("tunl0", "ipip", 1480)


def whole(message: Message) -> bytes:
    return HEADER.pack(16 + len(message.body), message.kind, 0, 0, 0) + message.body


@pytest.mark.parametrize("local", [IPv4Address("10.0.0.1"), IPv6Address("fd00::1")])
def test_a_vxlan_device_reads_as_it_was_asked_for(local: IPAddress) -> None:
    shape = VxlanShape(4096, 4789, local, 7)
    mac = "66:93:7f:54:d5:53"
    data = whole(create_tunnel(TunnelWish("vxlan.calico", "vxlan", 1450, mac=mac, shape=shape)))
    link = read_link(data, 0, len(data))
    assert (link.name, link.kind, link.mtu, link.mac) == ("vxlan.calico", "vxlan", 1450, mac)
    assert TunnelLink(link, read_tunnel(data, 0, len(data))).shape == shape


def test_an_ipip_device_has_no_shape() -> None:
    data = whole(create_tunnel(IPIP))
    link = read_link(data, 0, len(data))
    assert (link.name, link.kind, link.mtu) == ("tunl0", "ipip", 1480)
    assert TunnelLink(link, read_tunnel(data, 0, len(data))).shape is None


def test_a_forwarding_entry_is_permanent_and_names_its_node() -> None:
    data = whole(change_entry(9, PutForwarding("66:00:00:00:00:01", IPv4Address("10.0.0.2"))))
    entry = read_forwarding(data, 0, len(data))
    assert entry is not None
    assert (entry.ifindex, entry.mac, entry.far_end, entry.state) == (
        9, "66:00:00:00:00:01", IPv4Address("10.0.0.2"), "permanent",
    )  # fmt: skip


def test_a_neighbour_is_permanent() -> None:
    data = whole(change_entry(9, PutNeighbour(IPv6Address("fd00::9"), "66:00:00:00:00:01")))
    entry = read_neighbour(data, 0, len(data))
    assert entry is not None
    assert (entry.address, entry.mac, entry.state) == (
        IPv6Address("fd00::9"), "66:00:00:00:00:01", "permanent",
    )  # fmt: skip


def test_an_unknown_kind_of_link_is_said_to_be_missing_in_the_kernel() -> None:
    refused = KernelRefused("create tunl0", errno.EOPNOTSUPP, "Unknown device type")
    fault = fault_of(IPIP, refused)
    assert fault.reason is FaultReason.NO_KERNEL_SUPPORT
    assert "Unknown device type" in fault.message
    assert fault.remedy == "load the kernel module ipip (modprobe ipip), or use vxlanMode"


def test_any_other_refusal_is_told_as_the_kernel_told_it() -> None:
    fault = fault_of(IPIP, KernelRefused("change link 4", errno.EPERM))
    assert fault.reason is FaultReason.REFUSED
    assert fault.message == "change link 4: EPERM"
