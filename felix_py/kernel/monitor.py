"""Netlink events as hints: our own and those that concern nobody are dropped before parsing.

A hint only says where to look. 50,000 route events cost 2.3 s when each is parsed and 0.04 s when
two numbers of the header are looked at first (measured), which is why this reads raw sockets. Most of
those that nobody asked for stay in the kernel (event_filter.py); what it lets through is looked at here.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable

from felix_py.kernel.errors import EventsLost
from felix_py.kernel.event_filter import without_routes_of
from felix_py.kernel.model import Hint, IPNetwork, RouteKind
from felix_py.kernel.netlink_format import (
    AF_INET,
    AF_INET6,
    DELADDR,
    DELLINK,
    DELNETCONF,
    DELROUTE,
    HEADER,
    NEWADDR,
    NEWLINK,
    NEWNETCONF,
    NEWROUTE,
    RTMSG,
)
from felix_py.kernel.netlink_wire import READ_BYTES, attach_filter, open_socket
from felix_py.kernel.route_dump import RTM_F_CLONED, route_prefix

MAX_PREFIXES = 256
"""More changed prefixes in one hint: it names none and means everything."""
MAX_DATAGRAMS = 20_000
"""Read per call at most; what is left comes with the next call."""
GATHER_SECONDS = 0.002
"""Events come in flocks: a little patience makes one hint of them."""
GROUPS = (1, 5, 7, 9, 11, 24, 25)
"""RTNLGRP_: LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, IPV4_NETCONF, IPV6_NETCONF."""

_WHAT = {
    NEWLINK: "links",
    DELLINK: "links",
    NEWADDR: "addresses",
    DELADDR: "addresses",
    NEWNETCONF: "settings",
    DELNETCONF: "settings",
}
_KINDS = frozenset({RouteKind.UNICAST.value, RouteKind.BLACKHOLE.value, 7, 8})
"""Routes that may stand at a key of ours or lead somewhere: with unreachable and prohibit."""


class NetlinkMonitor:
    """Implements port.Monitor on one raw socket with a large buffer. One reader thread."""

    def __init__(
        self, own_ports: Callable[[], frozenset[int]], quiet_protocols: frozenset[int]
    ) -> None:
        """`own_ports`: the port ids of our sockets; `quiet_protocols`: whose routes to pass over."""
        groups = sum(1 << (group - 1) for group in GROUPS)
        self._socket = open_socket(socket.NETLINK_ROUTE, groups=groups)
        with contextlib.suppress(OSError):  # dropped here then, one by one
            attach_filter(self._socket, without_routes_of(own_ports(), quiet_protocols))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._own_ports = own_ports
        self._quiet = quiet_protocols

    def next(self, timeout_seconds: float) -> tuple[Hint, ...]:
        """What changed; empty when nothing that concerns us did in time.

        Raises EventsLost when the kernel dropped events: list everything again.
        """
        until = time.monotonic() + timeout_seconds
        gathered = _Gathered()
        while not gathered.what and not gathered.all_routes and not gathered.prefixes:
            left = until - time.monotonic()
            if left < 0 or not self._poll.poll(left * 1000):
                return ()
            time.sleep(GATHER_SECONDS)
            self._read_what_is_there(gathered)
        return gathered.hints()

    def close(self) -> None:
        """End it; safe to repeat."""
        self._socket.close()

    @property
    def closed(self) -> bool:
        """True after close."""
        return self._socket.fileno() < 0

    def _read_what_is_there(self, gathered: _Gathered) -> None:
        own = self._own_ports()
        for _ in range(MAX_DATAGRAMS):
            try:
                data = self._socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise EventsLost(
                        "netlink events were dropped: list everything again"
                    ) from error
                raise
            self._look_at(data, own, gathered)

    def _look_at(self, data: bytes, own: frozenset[int], gathered: _Gathered) -> None:
        offset, size = 0, len(data)
        while offset + 16 <= size:
            length, kind, _, _, port = HEADER.unpack_from(data, offset)
            if length < 16:
                return
            if port not in own or kind not in {NEWROUTE, DELROUTE}:
                if kind in _WHAT:
                    gathered.what.add(_WHAT[kind])
                elif kind in {NEWROUTE, DELROUTE} and self._concerns(data, offset):
                    gathered.add(route_prefix(data, offset, offset + length))
            offset += (length + 3) & ~3

    def _concerns(self, data: bytes, offset: int) -> bool:
        """Of an unquiet protocol, and a route that packets follow: no multicast, no local table."""
        family, _, _, _, table, protocol, _, kind, flags = RTMSG.unpack_from(data, offset + 16)
        return (
            protocol not in self._quiet
            and kind in _KINDS
            and table != 255
            and not flags & RTM_F_CLONED
            and family in {AF_INET, AF_INET6}
        )


class _Gathered:
    """What one call has seen so far, bounded."""

    def __init__(self) -> None:
        self.what: set[str] = set()
        self.prefixes: set[IPNetwork] = set()
        self.all_routes = False

    def add(self, prefix: IPNetwork) -> None:
        """One more changed prefix, until there are too many to name."""
        if self.all_routes:
            return
        self.prefixes.add(prefix)
        if len(self.prefixes) > MAX_PREFIXES:
            self.all_routes = True
            self.prefixes.clear()

    def hints(self) -> tuple[Hint, ...]:
        """One hint per kind of thing."""
        found = [Hint(what) for what in sorted(self.what)]
        if self.all_routes or self.prefixes:
            found.append(Hint("routes", frozenset(self.prefixes)))
        return tuple(found)
