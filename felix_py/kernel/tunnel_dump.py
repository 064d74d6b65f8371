"""What makes a link a tunnel or a veth: the device below or beside it, the far ends. Pure reading.

Source: include/uapi/linux/if_link.h (IFLA_VXLAN_*) and if_tunnel.h (IFLA_IPTUN_*).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from felix_py.kernel.link_dump import BODY, IFLA_INFO_KIND, IFLA_LINKINFO
from felix_py.kernel.model import IPAddress
from felix_py.kernel.netlink_format import IFINFO, U32, address, attributes, c_string

IFLA_LINK, IFLA_INFO_DATA = 5, 2
VXLAN_ID, VXLAN_LINK, VXLAN_LOCAL, VXLAN_LEARNING, VXLAN_PORT, VXLAN_LOCAL6 = 1, 3, 4, 7, 15, 17
IPTUN_LINK, IPTUN_LOCAL = 1, 2

_BIG_16 = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class TunnelDetail:
    """`parent`: index of the link below, or of a veth's other end; 0: none that is told."""

    index: int
    parent: int = 0
    local: IPAddress | None = None
    vni: int | None = None
    port: int | None = None
    learning: bool | None = None


def read_tunnel(data: bytes, start: int, end: int) -> TunnelDetail:
    """The detail of one message of a link dump; every link has one."""
    _, _, index, _, _ = IFINFO.unpack_from(data, start + BODY)
    found = dict(attributes(data[start:end], BODY + IFINFO.size))
    info = dict(attributes(found.get(IFLA_LINKINFO, b""), 0))
    own = dict(attributes(info.get(IFLA_INFO_DATA, b""), 0))
    parent = _number(found, IFLA_LINK)
    match c_string(info.get(IFLA_INFO_KIND, b"")):
        case "vxlan":
            return TunnelDetail(
                index,
                _number(own, VXLAN_LINK) or parent,
                _address(own, VXLAN_LOCAL) or _address(own, VXLAN_LOCAL6),
                _number(own, VXLAN_ID),
                _BIG_16.unpack(own[VXLAN_PORT])[0] if VXLAN_PORT in own else None,
                bool(own[VXLAN_LEARNING][0]) if own.get(VXLAN_LEARNING) else None,
            )
        case "ipip":
            return TunnelDetail(index, _number(own, IPTUN_LINK), _address(own, IPTUN_LOCAL))
        case _:
            return TunnelDetail(index, parent)


def _number(found: dict[int, bytes], kind: int) -> int:
    return int(U32.unpack(found[kind])[0]) if kind in found else 0


def _address(found: dict[int, bytes], kind: int) -> IPAddress | None:
    value = address(found[kind]) if kind in found else None
    return None if value is None or value.is_unspecified else value
