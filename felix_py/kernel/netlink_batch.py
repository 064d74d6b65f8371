"""Route changes as netlink messages: pure packing, the hot path of both agents.

IPv4 `replace` ignores the protocol number and overwrites an administrator's route (measured), so
a new route is created exclusively and only what a dump showed as ours is replaced. A deletion
carries the protocol, so that it finds that very route and no other at the same key.
"""

from __future__ import annotations

from collections.abc import Sequence

from felix_py.kernel.model import (
    DropRoute,
    NextHop,
    PutRoute,
    RouteChange,
)
from felix_py.kernel.netlink_format import (
    ATTRIBUTE,
    CREATE,
    DELROUTE,
    EXCL,
    FAMILY,
    HEAD,
    HEADER,
    NEWROUTE,
    NEXTHOP,
    NO_PORT,
    REPLACE,
    REQUEST,
    RTMSG,
    U16,
    U32,
    Message,
    attribute,
    number,
)

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6
RTA_PREFSRC, RTA_MULTIPATH, RTA_TABLE, RTA_VIA = 7, 9, 15, 18
RTNH_F_ONLINK = 4
RT_SCOPE_NOWHERE = 255
"""In a deletion: of any scope."""
TABLE_IN_ATTRIBUTE = 252
"""RT_TABLE_COMPAT: the table does not fit into eight bits."""

_DST = ATTRIBUTE.pack(8, RTA_DST), ATTRIBUTE.pack(20, RTA_DST)
_PRIORITY = ATTRIBUTE.pack(8, RTA_PRIORITY)
_OIF = ATTRIBUTE.pack(8, RTA_OIF)


def pack(change: RouteChange) -> Message:
    """One change as a message. Next hops of a DropRoute narrow the deletion to that very route."""
    head, _, before, destination, after = pack_all([change])
    _, kind, flags = HEAD.unpack(head)
    return Message(kind, flags & ~REQUEST, before[len(NO_PORT) :] + destination + after)


def pack_all(changes: Sequence[RouteChange]) -> list[bytes]:
    """Many changes as PIECES of each message, the sequence numbers left empty.

    What routes share but the destination is packed once. Netmasks, next hops and sources are
    recognised by identity: they stay alive as long as the changes.
    """
    around: dict[tuple[int, ...], tuple[bytes, bytes, bytes]] = {}
    pieces: list[bytes] = []
    for change in changes:
        route = change.route
        key = route.key
        prefix = key.prefix
        shape = (
            change.replaces_ours if isinstance(change, PutRoute) else -1,
            id(prefix.netmask),
            key.metric,
            key.table,
            route.protocol,
            id(route.kind),
            id(route.scope),
            id(route.next_hops),
            id(route.source),
        )
        found = around.get(shape)
        if found is None:
            found = around[shape] = _around(change)
        head, before, after = found
        pieces += (head, b"", before, prefix.network_address.packed, after)
    return pieces


def describe(change: RouteChange) -> str:
    """What was tried, for an error: the verb, the prefix, metric, table and protocol."""
    verb = "drop route" if isinstance(change, DropRoute) else "put route"
    key = change.route.key
    return (
        f"{verb} {key.prefix} metric {key.metric} table {key.table} "
        f"protocol {change.route.protocol}"
    )


def _around(change: RouteChange) -> tuple[bytes, bytes, bytes]:
    """A message's head, what stands before the bytes of its destination, and what behind."""
    route = change.route
    prefix, metric, table = route.key.prefix, route.key.metric, route.key.table
    hops = route.next_hops
    version = prefix.version
    flags = RTNH_F_ONLINK if len(hops) == 1 and hops[0].onlink else 0
    header = RTMSG.pack(
        FAMILY[version],
        prefix.prefixlen,
        0,
        0,
        table if table < 256 else TABLE_IN_ATTRIBUTE,
        route.protocol,
        route.scope.value if isinstance(change, PutRoute) else RT_SCOPE_NOWHERE,
        route.kind.value,
        flags,
    )
    chunks = [_PRIORITY, U32.pack(metric)]
    if table > 255:
        chunks.append(number(RTA_TABLE, table))
    if len(hops) == 1:
        hop = hops[0]
        chunks += (_OIF, U32.pack(hop.ifindex))
        if hop.gateway is not None:
            chunks.append(_gateway(hop, version))
    elif hops:
        chunks.append(attribute(RTA_MULTIPATH, b"".join(_next_hop(hop, version) for hop in hops)))
    if route.source is not None:
        chunks.append(attribute(RTA_PREFSRC, route.source.packed))
    before, after = NO_PORT + header + _DST[version == 6], b"".join(chunks)
    body = len(header) + len(_DST[0]) + prefix.max_prefixlen // 8 + len(after)
    return _head(change, HEADER.size + body), before, after


def _head(change: RouteChange, size: int) -> bytes:
    if isinstance(change, DropRoute):
        return HEAD.pack(size, DELROUTE, REQUEST)
    exclusive = REPLACE if change.replaces_ours else EXCL
    return HEAD.pack(size, NEWROUTE, REQUEST | CREATE | exclusive)


def _gateway(hop: NextHop, version: int) -> bytes:
    """RTA_GATEWAY, or RTA_VIA when an IPv4 route has an IPv6 next hop (RFC 5549)."""
    gateway = hop.gateway
    assert gateway is not None
    if gateway.version == version:
        return attribute(RTA_GATEWAY, gateway.packed)
    return attribute(RTA_VIA, U16.pack(FAMILY[gateway.version]) + gateway.packed)


def _next_hop(hop: NextHop, version: int) -> bytes:
    gateway = b"" if hop.gateway is None else _gateway(hop, version)
    flags = RTNH_F_ONLINK if hop.onlink else 0
    return NEXTHOP.pack(8 + len(gateway), flags, hop.weight - 1, hop.ifindex) + gateway
