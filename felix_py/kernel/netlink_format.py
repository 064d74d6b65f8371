"""How netlink messages look: headers, attributes, and the numbers we use. Pure packing and reading.

Source: Linux's include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,neighbour}.h. Everything is in
the host's byte order and padded to four bytes, except addresses, which are in network order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port id."""
HEAD = struct.Struct("=IHH")
"""What of a header is known before it is sent: length, type, flags."""
NO_PORT = bytes(4)
"""The end of a request's header: the kernel knows whom it is from."""
PIECES = 5
"""A message in parts, for packing many of them: its head, its sequence number (filled in when it is
sent), the rest of its header and what follows up to what is its own, that, and what is shared again."""
ATTRIBUTE = struct.Struct("=HH")
U16 = struct.Struct("=H")
U32 = struct.Struct("=I")
S32 = struct.Struct("=i")
IFINFO = struct.Struct("=BxHiII")
"""ifinfomsg: family, device type, index, flags, change mask."""
IFADDR = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, index."""
NDMSG = struct.Struct("=BxxxiHBB")
"""ndmsg: family, index, state, flags, type."""
RTMSG = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, dst length, src length, tos, table, protocol, scope, type, flags."""
NEXTHOP = struct.Struct("=HBBi")
"""rtnexthop: length, flags, hops (weight less one), index."""

NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE = 1, 2, 3
REQUEST, ACK, ECHO, DUMP_INTR, DUMP = 0x001, 0x004, 0x008, 0x010, 0x300
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH = 28
NEWNETCONF, DELNETCONF = 80, 81

NESTED = 0x8000
TYPE_MASK = 0x3FFF
FAMILY = {4: AF_INET, 6: AF_INET6}


class Message(NamedTuple):
    """One request without its header: message type, flags, and the body with its attributes."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def number(kind: int, value: int) -> bytes:
    """An attribute that is an unsigned 32-bit number."""
    return ATTRIBUTE.pack(8, kind) + U32.pack(value)


def text(kind: int, value: str) -> bytes:
    """An attribute that is a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | NESTED, b"".join(attributes))


def mac(kind: int, value: str) -> bytes:
    """An attribute that is a link-layer address given as `ee:ee:ee:ee:ee:ee`."""
    return attribute(kind, bytes.fromhex(value.replace(":", "")))


def attributes(message: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """(type without flags, payload) of each attribute; ends at the first that is malformed."""
    end = len(message)
    unpack = ATTRIBUTE.unpack_from
    while offset + 4 <= end:
        length, kind = unpack(message, offset)
        if length < 4 or offset + length > end:
            return
        yield kind & TYPE_MASK, message[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def address(packed: bytes) -> IPv4Address | IPv6Address:
    """An address from its four or sixteen bytes."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def c_string(payload: bytes) -> str:
    """A string as the kernel writes it; bytes that are not UTF-8 are kept as escapes."""
    return payload.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
