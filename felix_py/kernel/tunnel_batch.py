"""Tunnel devices, their addresses, forwarding entries and neighbours as netlink messages: pure packing."""

from __future__ import annotations

from felix_py.kernel.link_batch import (
    IFLA_INFO_DATA,
    NDA_DST,
    NDA_LLADDR,
    NUD_PERMANENT,
    put_neighbour,
)
from felix_py.kernel.link_dump import (
    IFA_ADDRESS,
    IFA_LOCAL,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MTU,
)
from felix_py.kernel.model import Address
from felix_py.kernel.neighbour_dump import AF_BRIDGE, GETNEIGH
from felix_py.kernel.netlink_format import (
    AF_UNSPEC,
    CREATE,
    DELADDR,
    EXCL,
    FAMILY,
    GETADDR,
    IFADDR,
    IFINFO,
    NDMSG,
    NEWLINK,
    NEWNEIGH,
    REPLACE,
    SETLINK,
    Message,
    attribute,
    mac,
    nested,
    number,
    text,
)
from felix_py.kernel.tunnel_dump import (
    VXLAN_ID,
    VXLAN_LEARNING,
    VXLAN_LINK,
    VXLAN_LOCAL,
    VXLAN_LOCAL6,
    VXLAN_PORT,
)
from felix_py.kernel.tunnel_model import (
    DropForwarding,
    EntryChange,
    PutForwarding,
    PutNeighbour,
    TunnelWish,
    VxlanShape,
)

DELNEIGH = 29
NTF_SELF = 0x02
"""The entry is the device's own, not that of a bridge it may be a port of."""
NDA_IFINDEX = 8


def create_tunnel(wish: TunnelWish) -> Message:
    """The device, down, exclusively. An ipip device without parameters is like the fallback one."""
    info = [attribute(IFLA_INFO_KIND, wish.link_kind.encode())]
    chunks = [text(IFLA_IFNAME, wish.name), number(IFLA_MTU, wish.mtu)]
    if wish.shape is not None:
        info.append(nested(IFLA_INFO_DATA, *_vxlan(wish.shape)))
    if wish.mac:
        chunks.append(mac(IFLA_ADDRESS, wish.mac))
    chunks.append(nested(IFLA_LINKINFO, *info))
    body = IFINFO.pack(AF_UNSPEC, 0, 0, 0, 0) + b"".join(chunks)
    return Message(NEWLINK, CREATE | EXCL, body)


def _vxlan(shape: VxlanShape) -> list[bytes]:
    local = VXLAN_LOCAL if shape.local.version == 4 else VXLAN_LOCAL6
    return [
        number(VXLAN_ID, shape.vni),
        number(VXLAN_LINK, shape.parent),
        attribute(local, shape.local.packed),
        attribute(VXLAN_LEARNING, bytes([shape.learning])),
        attribute(VXLAN_PORT, shape.port.to_bytes(2, "big")),
    ]


def set_mac(index: int, value: str) -> Message:
    """Give a device another MAC."""
    return Message(SETLINK, 0, IFINFO.pack(AF_UNSPEC, 0, index, 0, 0) + mac(IFLA_ADDRESS, value))


def drop_address(address: Address) -> Message:
    """Take this very address away."""
    interface = address.interface
    prefix = interface.network.prefixlen
    header = IFADDR.pack(FAMILY[interface.version], prefix, 0, 0, address.ifindex)
    packed = interface.ip.packed
    body = header + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    return Message(DELADDR, 0, body)


def addresses_of(index: int, version: int) -> Message:
    """Ask for the addresses of one link."""
    return Message(GETADDR, 0, IFADDR.pack(FAMILY[version], 0, 0, 0, index))


def change_entry(index: int, change: EntryChange) -> Message:
    """A change of one forwarding entry or neighbour of a device, as its message."""
    if isinstance(change, PutForwarding | DropForwarding):
        body = NDMSG.pack(AF_BRIDGE, index, NUD_PERMANENT, NTF_SELF, 0)
        body += mac(NDA_LLADDR, change.mac) + attribute(NDA_DST, change.node_address.packed)
        puts = isinstance(change, PutForwarding)
        return Message(NEWNEIGH, CREATE | REPLACE, body) if puts else Message(DELNEIGH, 0, body)
    packed = change.address.packed
    if isinstance(change, PutNeighbour):
        return put_neighbour(index, packed, change.mac)
    body = NDMSG.pack(FAMILY[change.address.version], index, 0, 0, 0)
    return Message(DELNEIGH, 0, body + attribute(NDA_DST, packed))


def forwarding_of(index: int) -> Message:
    """Ask for the forwarding entries of one device."""
    return Message(GETNEIGH, 0, NDMSG.pack(AF_BRIDGE, index, 0, 0, 0))


def neighbours_of(index: int) -> Message:
    """Ask for the neighbours of both families on one device."""
    body = NDMSG.pack(AF_UNSPEC, 0, 0, 0, 0) + number(NDA_IFINDEX, index)
    return Message(GETNEIGH, 0, body)
