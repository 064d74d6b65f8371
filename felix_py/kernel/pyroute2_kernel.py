"""The kernel port on netlink: the only module that imports pyroute2.

What is listed often or written by the thousand is read and packed by our own modules over the
same kind of socket; rare changes of links go through pyroute2, whose exceptions end here. It is
imported with the first of them: it brings a database of its own along, 8 MB of resident memory that
a daemon which never changes a link's state or MTU does without.
"""

from __future__ import annotations

import errno
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from felix_py.kernel import sysctl
from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.link_batch import set_link
from felix_py.kernel.link_dump import (
    address_dump_request,
    link_dump_request,
    read_address,
    read_link,
)
from felix_py.kernel.model import (
    MAIN_TABLE,
    Address,
    DropRoute,
    IPNetwork,
    Link,
    LinkSettings,
    Route,
    RouteChange,
)
from felix_py.kernel.monitor import NetlinkMonitor
from felix_py.kernel.namespace import entered_by_name
from felix_py.kernel.netlink_batch import describe, pack_all
from felix_py.kernel.netlink_format import AF_INET, AF_INET6, FAMILY
from felix_py.kernel.netlink_wire import NetlinkSocket, Refusal
from felix_py.kernel.route_dump import RouteReader, route_dump_request

GONE = frozenset({errno.ESRCH, errno.ENOENT})
"""What a deletion of something absent is answered with."""
NO_TABLE = frozenset({errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP})
"""A table nobody wrote to yet, or a family that is not built in: no routes."""
CHANGES_PER_ROUND = 5_000
"""Packed and sent at a time: what bounds the memory that a change of 100,000 routes takes."""


@contextmanager
def netlink_errors(doing: str) -> Iterator[None]:
    """Turn pyroute2's exceptions into ours; nothing of pyroute2 leaves this module."""
    from pyroute2.netlink import exceptions  # noqa: PLC0415  see above

    try:
        yield
    except exceptions.NetlinkDumpInterrupted as error:
        raise DumpInterrupted(doing) from error
    except exceptions.NetlinkError as error:
        raise KernelRefused(doing, error.code) from error


class Pyroute2Kernel:
    """Implements port.Kernel for the calling process's namespace, or for one that iproute2 named.

    Safe to use from several threads: each socket serves one at a time.
    """

    def __init__(self, netns: str | None = None) -> None:
        self._netns = netns
        with entered_by_name(netns):
            self._socket = NetlinkSocket()
        self._lock = threading.Lock()
        self._iproute: Any = None
        self._monitors: list[NetlinkMonitor] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of sockets; safe to repeat."""
        self._socket.close()
        with self._lock:
            while self._monitors:
                self._monitors.pop().close()
            if self._iproute is not None:
                self._iproute.close()
                self._iproute = None

    def links(self) -> tuple[Link, ...]:
        """Every link, with the settings that netlink tells."""
        return tuple(self._socket.dump("list links", link_dump_request(), read_link))

    def addresses(self) -> tuple[Address, ...]:
        """Every address of both families."""
        return tuple(self._socket.dump("list addresses", address_dump_request(), read_address))

    def routes(
        self,
        table: int,
        *,
        protocol: int | None = None,
        passing_over: frozenset[int] = frozenset(),
    ) -> tuple[Route, ...]:
        """Routes of both families in a table, of one protocol or of all but those passed over."""
        reader = RouteReader(table, protocol, passing_over=passing_over)
        return tuple(
            route
            for family in (AF_INET, AF_INET6)
            for route in self._dump_routes(family, table, protocol, reader)
        )

    def routes_to(
        self, prefixes: frozenset[IPNetwork], table: int = MAIN_TABLE
    ) -> tuple[Route, ...]:
        """Every route, whoever owns it and at any metric, to exactly these prefixes."""
        reader = RouteReader(table, None, prefixes)
        families = sorted({FAMILY[prefix.version] for prefix in prefixes})
        return tuple(
            route for family in families for route in self._dump_routes(family, table, None, reader)
        )

    def routes_at(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        """Every route, whoever owns it, that stands at the keys of these."""
        keys = {route.key for route in routes}
        prefixes: dict[int, set[IPNetwork]] = defaultdict(set)
        for key in keys:
            prefixes[key.table].add(key.prefix)
        return tuple(
            route
            for table, wanted in sorted(prefixes.items())
            for route in self.routes_to(frozenset(wanted), table)
            if route.key in keys
        )

    def change_routes(self, changes: Sequence[RouteChange]) -> tuple[KernelRefused | None, ...]:
        """Write in batches; one answer per change, in order. What is gone was dropped well."""
        answers: list[KernelRefused | None] = []
        for start in range(0, len(changes), CHANGES_PER_ROUND):
            part = changes[start : start + CHANGES_PER_ROUND]
            refusals = self._socket.request_packed(pack_all(part))
            answers += [
                None if refusal is None else _answer(change, refusal)
                for change, refusal in zip(part, refusals, strict=True)
            ]
        return tuple(answers)

    def change_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        settings: LinkSettings | None = None,
    ) -> None:
        """Change what is given, settings first. Raises KernelRefused.

        Settings that netlink does not carry are not written here: write_settings does.
        """
        if settings is not None:
            self._socket.demand(f"settings of link {index}", [set_link(index, settings=settings)])
        wanted: dict[str, object] = {}
        if up is not None:
            wanted["state"] = "up" if up else "down"
        if mtu is not None:
            wanted["mtu"] = mtu
        if wanted:
            with self._lock, netlink_errors(f"change link {index}"):
                self._rare().link("set", index=index, **wanted)

    def read_settings(self, name: str) -> LinkSettings:
        """All settings of a link, those that only exist as files included. `all`, `default` work."""
        with entered_by_name(self._netns):
            return sysctl.read(name)

    def write_settings(self, name: str, settings: LinkSettings) -> None:
        """Write settings through /proc/sys; None fields are left alone. Raises KernelRefused."""
        with entered_by_name(self._netns):
            sysctl.write(name, settings)

    def watch(self, quiet_protocols: frozenset[int] = frozenset()) -> NetlinkMonitor:
        """Events from now on: open it before the first list.

        Routes of `quiet_protocols` are passed over, whoever writes them. A link that goes down
        takes its IPv4 routes along without an event for each: after a hint on links, list routes.
        """
        with entered_by_name(self._netns):
            monitor = NetlinkMonitor(lambda: frozenset((self._socket.port,)), quiet_protocols)
        with self._lock:
            self._monitors = [each for each in self._monitors if not each.closed] + [monitor]
        return monitor

    def _dump_routes(
        self, family: int, table: int, protocol: int | None, reader: RouteReader
    ) -> list[Route]:
        request = route_dump_request(family, table, protocol)
        try:
            return self._socket.dump(f"list routes of table {table}", request, reader.read)
        except KernelRefused as refused:
            if refused.errno in NO_TABLE:
                return []
            raise

    def _rare(self) -> Any:  # noqa: ANN401  an IPRoute, which carries no types
        """pyroute2's socket, opened when it is needed for the first time."""
        if self._iproute is None:
            from pyroute2 import IPRoute  # noqa: PLC0415  see above

            self._iproute = IPRoute(netns=self._netns)
        return self._iproute


def _answer(change: RouteChange, refusal: Refusal) -> KernelRefused | None:
    if isinstance(change, DropRoute) and refusal.errno in GONE:
        return None
    return KernelRefused(describe(change), refusal.errno, refusal.why)
