"""Forgetting connections by ctnetlink: what an address's old owner left must not reach the new one.

A flow keeps its NAT and its state for as long as its conntrack entry lives, whoever holds the
address meanwhile. Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import IPAddress
from felix_py.kernel.netlink_format import (
    FAMILY,
    NESTED,
    U32,
    Message,
    attribute,
    attributes,
    nested,
)
from felix_py.kernel.netlink_wire import NetlinkSocket

NETLINK_NETFILTER = 12
CT_GET, CT_DELETE = 0x0101, 0x0102
"""NFNL_SUBSYS_CTNETLINK << 8 with IPCTNL_MSG_CT_GET and _DELETE."""
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID, CTA_ZONE, CTA_FILTER = 1, 2, 12, 18, 25
CTA_TUPLE_IP = 1
CTA_IP_V4_SRC, CTA_IP_V6_SRC = 1, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
FILTER_IP_SRC = U32.pack(1)
HEADER_BYTES = 16 + 4
"""A netlink and an nfnetlink header: where the attributes start."""
NO_CONNTRACK = frozenset(
    {errno.EPROTONOSUPPORT, errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT}
)
"""The kernel has no conntrack, or not for this family: there is nothing to forget."""


def forget_connections(addresses: Sequence[IPAddress]) -> None:
    """Delete the entries that these addresses began or answer to, in the thread's namespace.

    Raises KernelRefused; a kernel without conntrack has nothing to forget.
    """
    try:
        opened = NetlinkSocket(NETLINK_NETFILTER, strict=False)
    except OSError as error:
        if error.errno in NO_CONNTRACK:
            return
        raise KernelRefused("open conntrack", error.errno or errno.EIO) from error
    with opened:
        for address in addresses:
            _forget(opened, address)


def _forget(opened: NetlinkSocket, address: IPAddress) -> None:
    found: dict[bytes, None] = {}
    for direction in (CTA_TUPLE_ORIG, CTA_TUPLE_REPLY):
        try:
            found |= dict.fromkeys(_entries(opened, address, direction))
        except KernelRefused as refused:
            if refused.errno in NO_CONNTRACK:
                return
            raise
    if not found:
        return
    head = _nfgenmsg(FAMILY[address.version])
    for refusal in opened.request([Message(CT_DELETE, 0, head + entry) for entry in found]):
        if refusal is not None and refusal.errno != errno.ENOENT:
            raise KernelRefused(f"forget connections of {address}", refusal.errno, refusal.why)


def _entries(opened: NetlinkSocket, address: IPAddress, direction: int) -> Iterator[bytes]:
    """The attributes that name each entry whose tuple of this direction comes from the address.

    Kernels since 5.8 filter; older ones tell everything, so each answer is looked at again. Their
    filter by IPv6 address answers the opposite (seen on 6.18), so IPv6 is looked through whole.
    """
    source = CTA_IP_V4_SRC if isinstance(address, IPv4Address) else CTA_IP_V6_SRC
    flags = CTA_FILTER_ORIG_FLAGS if direction == CTA_TUPLE_ORIG else CTA_FILTER_REPLY_FLAGS
    body = _nfgenmsg(FAMILY[address.version])
    if source == CTA_IP_V4_SRC:
        body += nested(direction, nested(CTA_TUPLE_IP, attribute(source, address.packed)))
        body += nested(CTA_FILTER, attribute(flags, FILTER_IP_SRC))

    def read(data: bytes, start: int, end: int) -> bytes | None:
        found = dict(attributes(data[start:end], HEADER_BYTES))
        tuple_ip = dict(attributes(found.get(direction, b""), 0)).get(CTA_TUPLE_IP, b"")
        if dict(attributes(tuple_ip, 0)).get(source) != address.packed:
            return None
        named = attribute(CTA_TUPLE_ORIG | NESTED, found[CTA_TUPLE_ORIG])
        return named + b"".join(
            attribute(kind, found[kind]) for kind in (CTA_ZONE, CTA_ID) if kind in found
        )

    yield from opened.dump(f"connections of {address}", Message(CT_GET, 0, body), read)


def _nfgenmsg(family: int) -> bytes:
    return bytes((family, 0, 0, 0))
