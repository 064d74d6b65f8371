"""The port to this host's network stack. The adapter is pyroute2_kernel.py; there is no fake:
what matters about the kernel is what it really does (tests run in throw-away namespaces)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import (
    MAIN_TABLE,
    Address,
    Hint,
    IPAddress,
    IPNetwork,
    Link,
    LinkSettings,
    PodSpec,
    Route,
    RouteChange,
    VethSpec,
)
from felix_py.kernel.neighbour_dump import ForwardingEntry, NeighbourEntry
from felix_py.kernel.tunnel_model import EntryChange, EntryEvent, TunnelLink, TunnelWish


class Monitor(Protocol):
    """Netlink events as hints. One reader thread. Our own route changes are not reported."""

    def next(self, timeout_seconds: float) -> tuple[Hint, ...]:
        """What changed; empty when nothing did in time. Raises EventsLost: list everything again."""
        ...

    def close(self) -> None:
        """End it; safe to repeat."""
        ...


class Kernel(Protocol):
    """Links, addresses and routes of the namespace the process runs in. Torn dumps are read again."""

    def links(self) -> tuple[Link, ...]:
        """Every link, with the settings that netlink tells."""
        ...

    def addresses(self) -> tuple[Address, ...]:
        """Every address of both families."""
        ...

    def routes(
        self,
        table: int,
        *,
        protocol: int | None = None,
        passing_over: frozenset[int] = frozenset(),
    ) -> tuple[Route, ...]:
        """Routes of both families in a table, of one protocol or of all but those passed over.

        Passing over 100,000 routes of a protocol takes a fraction of the time of reading them.
        """
        ...

    def routes_at(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        """Every route, whoever owns it, that stands at the keys of these."""
        ...

    def routes_to(
        self, prefixes: frozenset[IPNetwork], table: int = MAIN_TABLE
    ) -> tuple[Route, ...]:
        """Every route, whoever owns it and at any metric, to exactly these prefixes."""
        ...

    def change_routes(self, changes: Sequence[RouteChange]) -> tuple[KernelRefused | None, ...]:
        """Write in batches, hand-packed; one answer per change, in order. Never stops half-way.

        A PutRoute without `replaces_ours` is exclusive: EEXIST is answered, nothing overwritten.
        """
        ...

    def change_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        settings: LinkSettings | None = None,
    ) -> None:
        """Change what is given. Raises KernelRefused."""
        ...

    def read_settings(self, name: str) -> LinkSettings:
        """All settings of a link, those that only exist as files included. `all`, `default` work."""
        ...

    def write_settings(self, name: str, settings: LinkSettings) -> None:
        """Write settings through /proc/sys; None fields are left alone. Raises KernelRefused."""
        ...

    def watch(self, quiet_protocols: frozenset[int] = frozenset()) -> Monitor:
        """Events from now on: open it before the first list.

        Routes of `quiet_protocols` are passed over, whoever writes them. A link that goes down
        takes its IPv4 routes along without an event for each: after a hint on links, list routes.
        """
        ...

    def close(self) -> None:
        """Let go of sockets; safe to repeat."""
        ...


class PodLinks(Protocol):
    """What the CNI server does to pods' links. Safe to use from several threads."""

    def create(self, spec: VethSpec, pod_namespace_fd: int) -> int:
        """Create the pair, peer inside the namespace, host side up with its settings; host ifindex.

        Raises KernelRefused; EEXIST when the host name is taken.
        """
        ...

    def configure_pod(self, spec: PodSpec, pod_namespace_fd: int) -> None:
        """Bring the pod's side up with addresses, neighbours and routes."""
        ...

    def inspect_pod(
        self, pod_name: str, pod_namespace_fd: int
    ) -> tuple[Link | None, tuple[Address, ...], tuple[Route, ...]]:
        """The pod's link (None: not there), its addresses and its routes."""
        ...

    def find(self, host_name: str) -> Link | None:
        """The host side by name, None when there is no such link."""
        ...

    def delete(self, indexes: Sequence[int]) -> None:
        """Delete links, several in one request where the kernel can (by group); absent is fine.

        When it returns they cannot be found and their routes are gone; the kernel may still tidy up.
        """
        ...

    def forget_connections(self, addresses: Sequence[IPAddress]) -> None:
        """Drop the conntrack entries of these addresses; absent is fine."""
        ...


class TunnelLinks(Protocol):
    """What felix does to tunnel devices. One thread. Each call raises KernelRefused when refused."""

    def find(self, name: str) -> TunnelLink | None:
        """The link of this name, of whatever kind; None when there is none."""
        ...

    def create(self, wish: TunnelWish) -> None:
        """Create it exclusively, down; the kernel loads its module where it may.

        EEXIST: the name (or a VXLAN's port and VNI) is taken; EOPNOTSUPP: no such kind here.
        """
        ...

    def delete(self, index: int) -> None:
        """Delete a device; the kernel's fallback tunnel stays, absent is fine."""
        ...

    def change(
        self,
        index: int,
        *,
        alias: str | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        up: bool | None = None,
        settings: LinkSettings | None = None,
    ) -> None:
        """Change what is given, `up` last."""
        ...

    def make_no_addresses(self, index: int) -> None:
        """Let IPv6 make no link-local address on it; fine where there is no IPv6."""
        ...

    def addresses(self, index: int, version: int) -> tuple[Address, ...]:
        """The addresses of one family on one link."""
        ...

    def put_address(self, index: int, address: IPAddress) -> None:
        """Add it as /32 or /128, usable at once."""
        ...

    def drop_address(self, address: Address) -> None:
        """Take it away; absent is fine."""
        ...

    def forwarding(self, index: int) -> tuple[ForwardingEntry, ...]:
        """The forwarding entries of one device."""
        ...

    def neighbours(self, index: int) -> tuple[NeighbourEntry, ...]:
        """The neighbours of both families on one device."""
        ...

    def change_entries(
        self, index: int, changes: Sequence[EntryChange]
    ) -> tuple[KernelRefused | None, ...]:
        """Write in batches; one answer per change, in order. What is gone was dropped well."""
        ...

    def events(
        self, indexes: frozenset[int]
    ) -> tuple[frozenset[int], tuple[EntryEvent, ...]] | None:
        """What was told of these links since the last call: whose link or address changed, and entries.

        Never waits. None: too much, or something was lost: look at everything.
        """
        ...

    def close(self) -> None:
        """Let go of sockets; safe to repeat."""
        ...
