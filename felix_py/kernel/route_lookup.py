"""Which route the kernel takes for one packet: RTM_GETROUTE, question and answer. Pure.

A question with a link of entry is answered as for a forwarded packet, reverse path filter included:
a packet that the filter drops is answered EXDEV (kernels before 6.13) or EINVAL, one that a blackhole
swallows EINVAL.
"""

from __future__ import annotations

from dataclasses import dataclass

from felix_py.kernel.model import IPAddress, IPNetwork, NextHop, RouteKind
from felix_py.kernel.netlink_batch import RTA_DST, RTA_PREFSRC, RTA_PRIORITY, RTA_TABLE
from felix_py.kernel.netlink_format import (
    FAMILY,
    GETROUTE,
    RTMSG,
    U32,
    Message,
    address,
    attribute,
    attributes,
    number,
)
from felix_py.kernel.route_dump import ATTRIBUTES, BODY, next_hops, route_prefix

RTA_SRC, RTA_IIF = 2, 3
RTM_F_LOOKUP_TABLE, RTM_F_FIB_MATCH = 0x1000, 0x2000
"""Tell the table that matched (IPv6 does so unasked, and refuses to be asked), and the route itself."""
IPV4_BITS = 32

_KINDS = {kind.value: kind for kind in RouteKind}


@dataclass(frozen=True, slots=True)
class Question:
    """A packet: where to, and for a forwarded one where from and by which link (its index)."""

    destination: IPAddress
    source: IPAddress | None = None
    entered_by: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    """The route that the kernel found. `next_hops`: all that the route has, not only the one taken."""

    prefix: IPNetwork
    kind: RouteKind
    protocol: int
    metric: int
    table: int
    next_hops: tuple[NextHop, ...]
    source: IPAddress | None = None


def lookup_request(question: Question) -> Message:
    """Ask which route of the tables matches."""
    destination, source = question.destination, question.source
    bits = destination.max_prefixlen
    header = RTMSG.pack(
        FAMILY[destination.version],
        bits,
        0 if source is None else bits,
        *(0, 0, 0, 0, 0),
        RTM_F_FIB_MATCH | (RTM_F_LOOKUP_TABLE if bits == IPV4_BITS else 0),
    )
    body = header + attribute(RTA_DST, destination.packed)
    if source is not None:
        body += attribute(RTA_SRC, source.packed)
    if question.entered_by:
        body += number(RTA_IIF, question.entered_by)
    return Message(GETROUTE, 0, body)


def read_match(message: bytes) -> Match:
    """The route of an answer, which begins with its netlink header."""
    _, _, _, _, table, protocol, _, kind, flags = RTMSG.unpack_from(message, BODY)
    found = dict(attributes(message, ATTRIBUTES))
    return Match(
        prefix=route_prefix(message, 0, len(message)),
        kind=_KINDS.get(kind, RouteKind.OTHER),
        protocol=protocol,
        metric=U32.unpack(found[RTA_PRIORITY])[0] if RTA_PRIORITY in found else 0,
        table=U32.unpack(found[RTA_TABLE])[0] if RTA_TABLE in found else table,
        next_hops=next_hops(found, flags),
        source=address(found[RTA_PREFSRC]) if RTA_PREFSRC in found else None,
    )
