"""Hands each part of the wishes to its kernel driver: routes, link settings, the host's switches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog

from felix_py.agent.calc import block_routes, endpoint_settings, local_routes
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_settings import LinkSettingsDriver
from felix_py.kernel.model import IPNetwork, Link, LinkSettings, Route, RouteKey
from felix_py.kernel.ownership import FELIX, LINK_PREFIX
from felix_py.kernel.port import Kernel
from felix_py.kernel.route_table import RouteTable

log = structlog.get_logger(__name__)

GUEST_SECONDS = 10.0
"""How long a route with our mark may stand unexplained. The CNI server writes a pod's route just
after the endpoint's transaction, so the kernel can be ahead of our watch; and a pod whose endpoint
is slow to arrive must not lose its route meanwhile. After this it is an orphan and goes."""


class RouteManager:
    """Local endpoints' routes and our blocks' blackholes, in one table driver.

    A route with our mark that nothing explains is a guest: wanted as it is, for GUEST_SECONDS. A
    route that we wanted and do not want any more goes at once, but only while it is still the very
    route that we wanted: the next pod with the same address may have put its own there already.
    """

    def __init__(self, table: RouteTable) -> None:
        self._table = table
        self._wanted: dict[RouteKey, Route] = {}
        self._retired: dict[RouteKey, Route] = {}
        self._guests: dict[RouteKey, float] = {}
        self.failed: Mapping[RouteKey, KernelRefused] = {}

    @property
    def wanted(self) -> Mapping[RouteKey, Route]:
        """What the decisions ask for."""
        return self._wanted

    @property
    def guests(self) -> Iterable[RouteKey]:
        """Routes with our mark that nothing explains yet."""
        return self._guests.keys()

    @property
    def foreign(self) -> Mapping[RouteKey, Route]:
        """Others' routes that stand where ours belong."""
        return self._table.foreign

    @property
    def installed(self) -> int:
        """How many of the wanted routes the kernel was last seen to hold."""
        actual = self._table.actual
        return sum(actual.get(key) == route for key, route in self._wanted.items())

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """Recompute what is dirty, or everything."""
        addresses, blocks = dirty.addresses, dirty.blocks
        if dirty.everything:
            for key in self._wanted.keys() - _all_keys(snapshot):
                self._set(key, None)
            addresses, blocks = (
                frozenset((*snapshot.claims, *snapshot.survivors)),
                frozenset(snapshot.blocks),
            )
        for address in addresses:
            route = local_routes.route_of(address, snapshot)
            self._set(RouteKey(address, FELIX.metric), route)
        for cidr in blocks:
            self._set(RouteKey(cidr, FELIX.metric), block_routes.route_of(cidr, snapshot))

    def look(self, prefixes: frozenset[IPNetwork], *, everything: bool) -> None:
        """Distrust what was last seen of these prefixes, or of all."""
        if everything:
            self._table.relist()
        elif prefixes:
            self._table.note(prefixes)

    def apply(self, now: float, *, orphans_may_go: bool) -> bool:
        """Bring the kernel to what is wanted; False when something is still wrong.

        orphans_may_go: what the store tells is complete and fresh, so that a route nothing explains
        really is an orphan. Otherwise guests stay.
        """
        self._receive_guests(now, orphans_may_go=orphans_may_go)
        self.failed = self._table.apply()
        for key, refused in self.failed.items():
            log.warning("route refused", prefix=str(key.prefix), reason=str(refused))
        actual = self._table.actual
        self._retired = {key: old for key, old in self._retired.items() if key in actual}
        return not self.failed

    def _set(self, key: RouteKey, route: Route | None) -> None:
        if route is not None:
            self._wanted[key] = route
            self._guests.pop(key, None)
            self._retired.pop(key, None)
            self._table.want({key: route})
            return
        old = self._wanted.pop(key, None)
        if old is not None:
            self._retired[key] = old
            self._table.want({key: None})

    def _receive_guests(self, now: float, *, orphans_may_go: bool) -> None:
        actual = self._table.actual
        changes: dict[RouteKey, Route | None] = {}
        for key, route in actual.items():
            if key in self._wanted or self._retired.get(key) == route:
                continue
            until = self._guests.setdefault(key, now + GUEST_SECONDS)
            changes[key] = None if orphans_may_go and now >= until else route
        for key in [key for key in self._guests if key not in actual]:
            del self._guests[key]
            changes[key] = None
        for key in [key for key, route in changes.items() if route is None and key in self._guests]:
            log.info("route without an endpoint removed", prefix=str(key.prefix))
            self._retired[key] = actual[key]
            del self._guests[key]
        if changes:
            self._table.want(changes)


class LinkManager:
    """Settings of the links that local endpoints stand on; brings them up when somebody did not."""

    def __init__(self, kernel: Kernel, driver: LinkSettingsDriver) -> None:
        self._kernel = kernel
        self._driver = driver
        self._wishes: dict[str, LinkSettings] = {}
        self.failed: dict[str, KernelRefused] = {}

    @property
    def wishes(self) -> Mapping[str, LinkSettings]:
        """What the decisions ask for, by link name."""
        return self._wishes

    def decide(self, dirty: Dirty, snapshot: Snapshot, *, ipv6: bool) -> None:
        """Recompute the dirty links, or all that an endpoint names."""
        names: Iterable[str] = dirty.interfaces
        if dirty.everything:
            names = self._wishes.keys() | snapshot.interfaces.keys()
        for name in list(names):
            wish = endpoint_settings.settings_of(name, snapshot, ipv6=ipv6)
            if wish is None:
                self._wishes.pop(name, None)
            else:
                self._wishes[name] = wish
        self._driver.want(self._wishes)

    def apply(self, links: Sequence[Link], *, sweep: bool) -> bool:
        """Bring the links to what is wanted; False when something is still wrong."""
        self.failed = dict(self._driver.apply(links, sweep=sweep))
        for link in links:
            if link.name in self._wishes and not link.up and link.alias:
                self._bring_up(link)  # without its alias it is still being made, see pod_links.py
        for name, refused in self.failed.items():
            log.warning("link settings refused", link=name, reason=str(refused))
        return not self.failed

    def _bring_up(self, link: Link) -> None:
        try:
            self._kernel.change_link(link.index, up=True)
        except KernelRefused as refused:
            self.failed[link.name] = refused


class HostManager:
    """The switches of the whole host: forwarding, and what must come before it for IPv6."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._links: tuple[Link, ...] = ()
        self.ipv6 = kernel.read_settings("all").forwarding6 is not None
        self.failed: str | None = None

    def set_links(self, links: tuple[Link, ...]) -> None:
        """The host's links as listed just now."""
        self._links = links

    def apply(self, snapshot: Snapshot) -> bool:
        """Put forwarding right; reads two files when all is well. False when refused."""
        wish = endpoint_settings.host_settings(snapshot)
        if not self.ipv6:
            wish = LinkSettings(forwarding4=wish.forwarding4)
        try:
            present = self._kernel.read_settings("all")
            missing = LinkSettings(
                forwarding4=_unless(present.forwarding4, wish.forwarding4),
                forwarding6=_unless(present.forwarding6, wish.forwarding6),
            )
            if missing != LinkSettings():
                if missing.forwarding6:
                    self._keep_advertised_routes()
                self._kernel.write_settings("all", missing)
                log.info("host settings corrected", settings=str(missing))
        except KernelRefused as refused:
            self.failed = str(refused)
            log.warning("host settings refused", reason=self.failed)
            return False
        self.failed = None
        return True

    def _keep_advertised_routes(self) -> None:
        routes = self._kernel.routes(254, protocol=endpoint_settings.RA_PROTOCOL)
        asked = [link for link in self._links if not link.name.startswith(LINK_PREFIX)]
        accepting = {link.name: self._kernel.read_settings(link.name).accept_ra for link in asked}
        for name in endpoint_settings.uplinks_on_advertisements(self._links, accepting, routes):
            self._kernel.write_settings(name, LinkSettings(accept_ra=2))
            log.info("uplink keeps its advertised routes", link=name)


def _unless(present: bool | None, wished: bool | None) -> bool | None:  # noqa: FBT001
    return None if present == wished else wished


def _all_keys(snapshot: Snapshot) -> set[RouteKey]:
    prefixes = (*snapshot.claims, *snapshot.survivors, *snapshot.blocks)
    return {RouteKey(prefix, FELIX.metric) for prefix in prefixes}
