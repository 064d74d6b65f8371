"""Forgetting connections by ctnetlink: what an address's old owner left must not reach the new one.

A flow keeps its NAT and its state for as long as its conntrack entry lives, whoever holds the
address meanwhile. Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

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
DIRECTIONS = (CTA_TUPLE_ORIG, CTA_TUPLE_REPLY)
CTA_TUPLE_IP = 1
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
SOURCE_AND_DESTINATION = {4: (CTA_IP_V4_SRC, CTA_IP_V4_DST), 6: (CTA_IP_V6_SRC, CTA_IP_V6_DST)}
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
FILTER_IP_SRC = U32.pack(1)
HEADER_BYTES = 16 + 4
"""A netlink and an nfnetlink header: where the attributes start."""
NO_CONNTRACK = frozenset(
    {errno.EPROTONOSUPPORT, errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT}
)
"""The kernel has no conntrack, or not for this family: there is nothing to forget."""
COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
ENTRIES_PER_PASS = 5_000
"""A pass over the table's 262,144 buckets takes 10 ms, however empty they are; looking at one entry
here some 2 us. Filtering needs two passes for each address, looking through all one for all."""


def forget_connections(addresses: Sequence[IPAddress]) -> None:
    """Delete the entries that these addresses began or answer to, in the thread's namespace.

    Raises KernelRefused; a kernel without conntrack has nothing to forget.
    """
    tracked = _count()
    if not addresses or tracked == 0:
        return
    try:
        opened = NetlinkSocket(NETLINK_NETFILTER, strict=False)
    except OSError as error:
        if error.errno in NO_CONNTRACK:
            return
        raise KernelRefused("open conntrack", error.errno or errno.EIO) from error
    with opened:
        for version in sorted({address.version for address in addresses}):
            _forget(opened, [one for one in addresses if one.version == version], tracked)


def forget_untranslated(version: int, due: Callable[[bytes, bytes], bool]) -> int:
    """Delete the entries whose answers go to the very source, where `due(source, destination)`, both
    packed, says that it should have been translated; how many those were.

    The destination is the one the packets really went to. One pass over everything; some 5 us for
    each entry. Raises KernelRefused; a kernel without conntrack has nothing to forget.
    """
    if _count() == 0:
        return 0
    source, destination = SOURCE_AND_DESTINATION[version]

    def read(data: bytes, start: int, end: int) -> bytes | None:
        found = dict(attributes(data[start:end], HEADER_BYTES))
        sender = _address_in(found.get(CTA_TUPLE_ORIG, b""), source)
        reply = found.get(CTA_TUPLE_REPLY, b"")
        if sender is None or _address_in(reply, destination) != sender:
            return None
        target = _address_in(reply, source)
        return _name(found) if target is not None and due(sender, target) else None

    try:
        with NetlinkSocket(NETLINK_NETFILTER, strict=False) as opened:
            body = _nfgenmsg(FAMILY[version])
            names = opened.dump("list connections", Message(CT_GET, 0, body), read)
            _delete(opened, version, names)
    except OSError as error:
        if error.errno in NO_CONNTRACK:
            return 0
        raise KernelRefused("open conntrack", error.errno or errno.EIO) from error
    except KernelRefused as refused:
        if refused.errno in NO_CONNTRACK:
            return 0
        raise
    return len(names)


def _count() -> int:
    """How many entries the thread's namespace has; unknown counts as very many."""
    try:
        return int(COUNT.read_text("ascii"))
    except (OSError, ValueError):
        return 1 << 30


def _forget(opened: NetlinkSocket, addresses: Sequence[IPAddress], tracked: int) -> None:
    version = addresses[0].version
    in_one_pass = version == 6 or tracked <= ENTRIES_PER_PASS * (2 * len(addresses) - 1)
    try:
        found = dict.fromkeys(
            _look_through(opened, addresses) if in_one_pass else _look_up(opened, addresses)
        )
    except KernelRefused as refused:
        if refused.errno in NO_CONNTRACK:
            return
        raise
    _delete(opened, version, found)


def _delete(opened: NetlinkSocket, version: int, names: Iterable[bytes]) -> None:
    head = _nfgenmsg(FAMILY[version])
    messages = [Message(CT_DELETE, 0, head + name) for name in names]
    for refusal in opened.request(messages) if messages else ():
        if refusal is not None and refusal.errno != errno.ENOENT:
            raise KernelRefused("forget connections", refusal.errno, refusal.why)


def _look_through(opened: NetlinkSocket, addresses: Sequence[IPAddress]) -> list[bytes]:
    """What names each entry of these addresses: one pass over everything."""
    source = _source(addresses[0])
    wanted = {address.packed for address in addresses}

    def read(data: bytes, start: int, end: int) -> bytes | None:
        if not any(data.find(packed, start, end) >= 0 for packed in wanted):
            return None
        found = dict(attributes(data[start:end], HEADER_BYTES))
        sources = {_address_in(found.get(kind, b""), source) for kind in DIRECTIONS}
        return None if wanted.isdisjoint(sources) else _name(found)

    body = _nfgenmsg(FAMILY[addresses[0].version])
    return opened.dump("list connections", Message(CT_GET, 0, body), read)


def _look_up(opened: NetlinkSocket, addresses: Sequence[IPAddress]) -> Iterator[bytes]:
    """The same by the kernel's filter: two passes for each address, nothing else is told."""
    for address in addresses:
        for direction in DIRECTIONS:
            yield from _entries(opened, address, direction)


def _entries(opened: NetlinkSocket, address: IPAddress, direction: int) -> list[bytes]:
    """What names each entry whose tuple of this direction comes from the IPv4 address.

    Kernels since 5.8 filter; older ones tell everything, so each answer is looked at again. Their
    filter by IPv6 address answers the opposite (seen on 6.18), so IPv6 is looked through whole.
    """
    flags = CTA_FILTER_ORIG_FLAGS if direction == CTA_TUPLE_ORIG else CTA_FILTER_REPLY_FLAGS
    body = _nfgenmsg(FAMILY[address.version])
    body += nested(direction, nested(CTA_TUPLE_IP, attribute(CTA_IP_V4_SRC, address.packed)))
    body += nested(CTA_FILTER, attribute(flags, FILTER_IP_SRC))

    def read(data: bytes, start: int, end: int) -> bytes | None:
        found = dict(attributes(data[start:end], HEADER_BYTES))
        if _address_in(found.get(direction, b""), CTA_IP_V4_SRC) != address.packed:
            return None
        return _name(found)

    return opened.dump(f"connections of {address}", Message(CT_GET, 0, body), read)


def _source(address: IPAddress) -> int:
    return CTA_IP_V4_SRC if isinstance(address, IPv4Address) else CTA_IP_V6_SRC


def _address_in(tuple_attributes: bytes, which: int) -> bytes | None:
    tuple_ip = dict(attributes(tuple_attributes, 0)).get(CTA_TUPLE_IP, b"")
    return dict(attributes(tuple_ip, 0)).get(which)


def _name(found: Mapping[int, bytes]) -> bytes:
    """The attributes by which an entry is deleted: this very one, not a later one of its tuple."""
    named = attribute(CTA_TUPLE_ORIG | NESTED, found[CTA_TUPLE_ORIG])
    return named + b"".join(
        attribute(kind, found[kind]) for kind in (CTA_ZONE, CTA_ID) if kind in found
    )


def _nfgenmsg(family: int) -> bytes:
    return bytes((family, 0, 0, 0))
