"""Routes as the kernel tells them: message bytes to Route. Pure, and fast: 100,000 at a time.

What differs between what is written and what comes back: IPv6 turns metric 0 into 1024 and keeps
no scope; an IPv6 blackhole comes back with a next hop on the loopback; a route through a link
that lost its carrier gets flags that are no part of it.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from felix_py.kernel.model import (
    IPAddress,
    IPNetwork,
    NextHop,
    Route,
    RouteKey,
    RouteKind,
    Scope,
    in_order,
)
from felix_py.kernel.netlink_batch import (
    RTA_DST,
    RTA_GATEWAY,
    RTA_MULTIPATH,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTA_TABLE,
    RTA_VIA,
    RTNH_F_ONLINK,
)
from felix_py.kernel.netlink_format import (
    AF_INET,
    AF_INET6,
    ATTRIBUTE,
    GETROUTE,
    NEXTHOP,
    RTMSG,
    U32,
    Message,
    address,
    attributes,
    number,
)

RTM_F_CLONED = 0x200
"""A cached copy of a route, not a route."""
BODY = 16
"""Length of a netlink header: where rtmsg starts."""
PROTOCOL = BODY + 5
ATTRIBUTES = BODY + 12

_KINDS = {kind.value: kind for kind in RouteKind}
_SCOPES = {scope.value: scope for scope in Scope}


def route_dump_request(family: int, table: int, protocol: int | None) -> Message:
    """Ask for one family's routes in a table; the kernel filters where it can (strict checking)."""
    small = table if table < 256 else 0
    body = RTMSG.pack(family, 0, 0, 0, small, protocol or 0, 0, 0, 0)
    return Message(GETROUTE, 0, body + number(RTA_TABLE, table))


class _Shape(NamedTuple):
    """Everything of a route but its destination: routes of one owner share a few of these."""

    length: int
    metric: int
    protocol: int
    kind: RouteKind
    next_hops: tuple[NextHop, ...]
    scope: Scope
    source: IPAddress | None


class RouteReader:
    """Reads dump messages of one table, perhaps of one protocol, perhaps of some prefixes only.

    Two messages that differ in the destination alone have the same shape, which is read once:
    that, not the parsing of attributes, is what 100,000 routes cost.
    """

    def __init__(
        self,
        table: int,
        protocol: int | None,
        prefixes: frozenset[IPNetwork] | None = None,
        passing_over: frozenset[int] = frozenset(),
    ) -> None:
        self._table = table
        self._protocol = protocol
        self._passing_over = passing_over
        self._shapes: dict[bytes, _Shape | None] = {}
        self._wanted: frozenset[tuple[int, bytes]] | None = None
        if prefixes is not None:
            self._wanted = frozenset(
                (prefix.prefixlen, prefix.network_address.packed) for prefix in prefixes
            )

    def read(self, data: bytes, start: int, end: int) -> Route | None:
        """The route of one message; None when it is not of the table, protocol and prefixes."""
        if data[start + PROTOCOL] in self._passing_over:
            return None
        four = data[start + BODY] == AF_INET
        at, after = _destination(data, start + ATTRIBUTES, end)
        packed = data[at:after] or bytes(4 if four else 16)
        if self._wanted is not None and (data[start + BODY + 1], packed) not in self._wanted:
            return None
        rest = data[start + BODY : at] + data[after:end]
        try:
            shape = self._shapes[rest]
        except KeyError:
            shape = self._shapes[rest] = self._shape(data, start, end)
        if shape is None:
            return None
        length, metric, protocol, kind, next_hops, scope, source = shape
        prefix: IPNetwork = IPv4Network((packed, length)) if four else IPv6Network((packed, length))
        key = RouteKey(prefix, metric, self._table)
        return Route(key, protocol, kind, next_hops, scope, source)

    def _shape(self, data: bytes, start: int, end: int) -> _Shape | None:
        family, length, _, tos, table, protocol, scope, kind, flags = RTMSG.unpack_from(
            data, start + BODY
        )
        found = dict(attributes(data[start:end], ATTRIBUTES))
        if RTA_TABLE in found:
            table = U32.unpack(found[RTA_TABLE])[0]
        foreign = self._protocol is not None and protocol != self._protocol
        if tos or foreign or flags & RTM_F_CLONED or table != self._table:
            return None
        route_kind = _KINDS.get(kind, RouteKind.OTHER)
        return _Shape(
            length,
            U32.unpack(found[RTA_PRIORITY])[0] if RTA_PRIORITY in found else 0,
            protocol,
            route_kind,
            () if route_kind is RouteKind.BLACKHOLE else next_hops(found, flags),
            Scope.UNIVERSE if family == AF_INET6 else _SCOPES.get(scope, Scope.UNIVERSE),
            address(found[RTA_PREFSRC]) if RTA_PREFSRC in found else None,
        )


def route_prefix(data: bytes, start: int, end: int) -> IPNetwork:
    """The prefix of a route message, nothing else of it."""
    four = data[start + BODY] == AF_INET
    at, after = _destination(data, start + ATTRIBUTES, end)
    packed = data[at:after] or bytes(4 if four else 16)
    length = data[start + BODY + 1]
    return IPv4Network((packed, length)) if four else IPv6Network((packed, length))


def _destination(data: bytes, offset: int, end: int) -> tuple[int, int]:
    """Where the destination's bytes stand: first (IPv6) or behind the table (IPv4)."""
    while offset + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if kind == RTA_DST and offset + length <= end:
            return offset + 4, offset + length
        if length < 4:
            break
        offset += (length + 3) & ~3
    return end, end


def next_hops(found: dict[int, bytes], flags: int) -> tuple[NextHop, ...]:
    """The next hops among a route's attributes, sorted."""
    if RTA_MULTIPATH in found:
        return in_order(_multipath(found[RTA_MULTIPATH]))
    if RTA_OIF not in found:
        return ()
    index = U32.unpack(found[RTA_OIF])[0]
    return (NextHop(index, _gateway(found), bool(flags & RTNH_F_ONLINK)),)


def _multipath(payload: bytes) -> list[NextHop]:
    hops: list[NextHop] = []
    offset = 0
    while offset + 8 <= len(payload):
        length, flags, less_one, index = NEXTHOP.unpack_from(payload, offset)
        if length < 8 or offset + length > len(payload):
            break
        found = dict(attributes(payload[offset : offset + length], 8))
        onlink = bool(flags & RTNH_F_ONLINK)
        hops.append(NextHop(index, _gateway(found), onlink, less_one + 1))
        offset += (length + 3) & ~3
    return hops


def _gateway(found: dict[int, bytes]) -> IPAddress | None:
    if RTA_GATEWAY in found:
        return address(found[RTA_GATEWAY])
    if RTA_VIA in found:
        return address(found[RTA_VIA][2:])
    return None
