"""Routes survive packing and reading, and the bytes are those that iproute2 sends."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import given, settings
from hypothesis import strategies as st

from felix_py.kernel.model import (
    DropRoute,
    IPAddress,
    NextHop,
    PutRoute,
    Route,
    RouteChange,
    RouteKey,
    RouteKind,
    Scope,
    in_order,
)
from felix_py.kernel.netlink_batch import describe, pack, pack_all
from felix_py.kernel.netlink_format import (
    CREATE,
    DELROUTE,
    EXCL,
    HEADER,
    NEWROUTE,
    PIECES,
    REPLACE,
    REQUEST,
    Message,
)
from felix_py.kernel.route_dump import RouteReader, route_prefix

PATIENT = settings()
"""A busy host is no finding."""
FOUR = st.integers(0, 2**32 - 1).map(IPv4Address)
SIX = st.integers(0, 2**128 - 1).map(IPv6Address)


def networks(version: int) -> st.SearchStrategy[IPv4Network | IPv6Network]:
    """Any prefix of a version, host bits cut off."""
    if version == 4:
        return st.tuples(FOUR, st.integers(0, 32)).map(lambda p: IPv4Network(p, strict=False))
    return st.tuples(SIX, st.integers(0, 128)).map(lambda p: IPv6Network(p, strict=False))


@st.composite
def any_route(draw: st.DrawFn) -> Route:
    """A route as RouteTable would write it."""
    version = draw(st.sampled_from([4, 6]))
    gateways: st.SearchStrategy[IPAddress | None] = st.one_of(
        st.none(), FOUR if version == 4 else SIX, SIX
    )
    hop = st.builds(NextHop, st.integers(1, 9999), gateways, st.booleans(), st.integers(1, 256))
    hops = draw(st.lists(hop, max_size=3))
    if len(hops) == 1:
        hops = [NextHop(hops[0].ifindex, hops[0].gateway, hops[0].onlink)]
    kind = RouteKind.UNICAST if hops else RouteKind.BLACKHOLE
    key = RouteKey(
        draw(networks(version)),
        draw(st.integers(1, 2**32 - 1)),
        draw(st.sampled_from([254, 1, 255, 256, 100_000])),
    )
    scope = draw(st.sampled_from(Scope)) if version == 4 else Scope.UNIVERSE
    sources: st.SearchStrategy[IPAddress | None] = st.one_of(
        st.none(), FOUR if version == 4 else SIX
    )
    return Route(key, draw(st.integers(1, 255)), kind, in_order(hops), scope, draw(sources))


@PATIENT
@given(any_route())
def test_what_is_packed_is_read_back_equal(route: Route) -> None:
    kind, _, body = pack(PutRoute(route))
    data = b"before" + HEADER.pack(16 + len(body), kind, 0, 1, 0) + body + b"after"
    start, end = 6, 6 + 16 + len(body)
    for _ in range(2):
        assert RouteReader(route.key.table, None).read(data, start, end) == route
    assert route_prefix(data, start, end) == route.key.prefix
    assert RouteReader(route.key.table + 1, None).read(data, start, end) is None
    assert RouteReader(route.key.table, route.protocol + 1).read(data, start, end) is None
    only = frozenset({route.key.prefix})
    assert RouteReader(route.key.table, None, only).read(data, start, end) == route
    other = frozenset({IPv4Network("203.0.113.7/32")}) - only
    assert RouteReader(route.key.table, None, other).read(data, start, end) is None


def test_the_bytes_are_those_that_iproute2_sends() -> None:
    """iproute2 6.1, `ip route add 192.0.2.0/26 via 10.0.0.2 dev <7> metric 1024 proto 80`, as strace
    writes it with --write. The kernel takes attributes in any order; ours is another."""
    captured = bytes.fromhex(
        "021a0000 fe500001 00000000"
        "08000100 c0000200"
        "08000500 0a000002"
        "08000600 00040000"
        "08000400 07000000"
    )
    key = RouteKey(IPv4Network("192.0.2.0/26"), 1024)
    route = Route(key, 80, next_hops=(NextHop(7, IPv4Address("10.0.0.2")),))
    message = pack(PutRoute(route))
    assert message.body[:12] == captured[:12]
    assert _attributes(message.body) == _attributes(captured)
    assert len(message.body) == len(captured)


def _attributes(body: bytes) -> set[bytes]:
    """Of a route whose attributes all have eight bytes."""
    return {body[start : start + 8] for start in range(12, len(body), 8)}


@PATIENT
@given(st.lists(any_route(), max_size=3))
def test_routes_packed_together_are_those_packed_alone(routes: list[Route]) -> None:
    changes: list[RouteChange] = [
        change
        for route in routes
        for change in (PutRoute(route), DropRoute(route), PutRoute(route, replaces_ours=True))
    ] * 2
    pieces = pack_all(changes)
    for index, change in enumerate(changes):
        head, number, *rest = pieces[index * PIECES : (index + 1) * PIECES]
        message = b"".join((head, bytes(4), *rest))
        length, kind, flags, _, port = HEADER.unpack_from(message)
        assert (length, number, port) == (len(message), b"", 0)
        assert flags & REQUEST
        assert Message(kind, flags & ~REQUEST, message[16:]) == pack(change)


def test_creation_is_exclusive_and_only_ours_is_replaced() -> None:
    route = Route(RouteKey(IPv4Network("192.0.2.0/26"), 1024), 80, RouteKind.BLACKHOLE)
    assert pack(PutRoute(route))[:2] == (NEWROUTE, CREATE | EXCL)
    replaced = pack(PutRoute(route, replaces_ours=True))
    assert replaced[:2] == (NEWROUTE, CREATE | REPLACE)
    assert pack(DropRoute(route))[:2] == (DELROUTE, 0)
    assert pack(DropRoute(route)).body[5:7] == bytes((80, 255))


def test_an_error_names_the_route() -> None:
    route = Route(RouteKey(IPv4Network("192.0.2.0/26"), 1024), 80, RouteKind.BLACKHOLE)
    assert describe(PutRoute(route)) == ("put route 192.0.2.0/26 metric 1024 table 254 protocol 80")
    assert describe(DropRoute(route)).startswith("drop route 192.0.2.0/26")
