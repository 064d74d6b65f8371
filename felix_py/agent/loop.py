"""The level-triggered loop: facts make keys dirty, one thread decides, applies and tries again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from felix_py.agent import status
from felix_py.agent.calc.node_address import HostView, detect
from felix_py.agent.calc.node_object import AddressWish, Published, holder_of, recorded_in
from felix_py.agent.managers.host import HostManager
from felix_py.agent.managers.links import LinkManager
from felix_py.agent.managers.manager import Manager
from felix_py.agent.managers.routes import RouteManager
from felix_py.agent.reporter import NodeWish, Reporter
from felix_py.agent.snapshot import Dirty
from felix_py.agent.state import State
from felix_py.agent.survivors import Survivors, lasting
from felix_py.datastore.changes import CONCERN, SyncMailbox
from felix_py.datastore.status_document import Identity, invalid_objects
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.hints import Hints, Look
from felix_py.kernel.model import Address, Link, Route
from felix_py.kernel.port import Kernel
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import TransientError
from felix_py.runtime.health import Health
from felix_py.runtime.metrics import APPLY_SECONDS, INVALID_OBJECTS
from felix_py.runtime.schedule import Backoff, Interval, Retry

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
"""Longest sleep: the host's forwarding is looked at this often, the status file written."""
SWEEP_SECONDS = 8.0
"""Settings that netlink does not announce are read this often; promised are 10 s."""
RELIST_SECONDS = 60.0
"""All routes are read again this often, whatever netlink said."""
LIST_LINKS_SECONDS = 0.2
"""Links are listed at most this often: a listing costs time per link, and 200 pods that start at
once announce thousands of changes."""
RECHECK_SECONDS = 0.4
"""All routes are read again so long after a link changed: the kernel drops the IPv4 routes of a
link that goes down without saying so, even when the link is back before we look."""
LINGER_SECONDS = 30.0
"""After the store was frozen: others put back what it lost, and until then their routes stay."""
LIVE_SECONDS = 30.0
"""A round that takes longer counts as dead."""

UNDERLAY_PROTOCOLS = (2, 3, 4, 9, 11, 12, 16, 186, 187, 188, 189, 192)
"""Who may own the routes that lead to the node's own address: kernel, boot, static, ra, zebra, bird,
dhcp, and FRR's daemons (rtnetlink.h). Asking for each spares a dump of the learned routes."""


@dataclass(frozen=True, slots=True)
class Managers:
    """The drivers' keepers, one per kind of kernel object."""

    routes: RouteManager
    links: LinkManager
    host: HostManager
    more: tuple[Manager, ...] = ()
    """Applied in this order, before the others: routes may need the links that these make."""


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the loop tells what it did."""

    reporter: Reporter
    write_status: Callable[[Mapping[str, object]], None]
    identity: Identity
    host_name_now: str | None
    """The host's name, when it is not the node's any more."""
    guid: Callable[[], str]
    published: Callable[[], Published] = Published
    """The tunnel addresses at which this node may be sent to now."""


class Loop:
    """Owns the state. Before the store was in sync once, nothing in the kernel is touched; while the
    store is frozen or away, the last state is kept up."""

    def __init__(  # noqa: PLR0913  the whole of the daemon meets here
        self,
        mailbox: SyncMailbox,
        hints: Hints,
        kernel: Kernel,
        managers: Managers,
        outlets: Outlets,
        methods: Mapping[int, str],
        *,
        state: State,
        survivors: Survivors,
        clock: Clock,
        health: Health,
    ) -> None:
        self._mailbox, self._hints, self._kernel = mailbox, hints, kernel
        self._managers, self._outlets, self._methods = managers, outlets, methods
        self._state, self._clock, self._health = state, clock, health
        self._survivors = survivors
        self._started = False
        self._links: tuple[Link, ...] = ()
        self._pending = Look()
        self._list_links = Interval(LIST_LINKS_SECONDS)
        self._sweep, self._relist = Interval(SWEEP_SECONDS), Interval(RELIST_SECONDS)
        self._recheck_at: float | None = None
        self._retry = Retry(Backoff(0.05, 5.0))
        self._node: dict[int, AddressWish] = {}
        self._published = Published()
        self._unsettled = True
        self._linger_until = self._rounded_at = float("-inf")
        self._view: HostView | None = None
        self._said: Mapping[str, object] = {}

    def run(self, stop: threading.Event) -> None:
        """Go round until told to stop."""
        while not stop.is_set():
            changes = self._mailbox.take_all(self._wait_seconds())
            self._health.beat("felix", LIVE_SECONDS)
            news = self._state.fold(changes)
            if changes and not news and self._may_wait():
                continue
            refused: str | None = None
            try:
                with APPLY_SECONDS.labels(status.DAEMON).time():
                    well = self._round()
            except (KernelRefused, TransientError) as error:
                log.warning("round failed, everything is read again", reason=str(error))
                self._hints.everything()
                well = False
                refused = str(error)
            self._retry.record(self._clock.now(), failed=not well)
            self._health.note(CONCERN, self._state.store.trouble)
            self._health.note("kernel", refused)
            self._report()

    def _may_wait(self) -> bool:
        """Other nodes' affairs wake us often in a big cluster: what time asks for is looked at every
        TICK_SECONDS all the same, and what the kernel tells wakes us with nothing in the mailbox."""
        since = self._clock.now() - self._rounded_at
        return since < TICK_SECONDS and not self._hints.pending and self._wait_seconds() > 0

    def _wait_seconds(self) -> float:
        now = self._clock.now()
        wait = self._retry.wait_seconds(now, TICK_SECONDS)
        if self._pending.links:
            wait = min(wait, self._list_links.wait_seconds(now))
        if self._recheck_at is not None:
            wait = min(wait, max(0.0, self._recheck_at - now))
        return wait

    def _round(self) -> bool:
        """Look, decide, apply; False when something is still wrong."""
        now = self._rounded_at = self._clock.now()
        look = self._what_to_look_at(now)
        if look.links:
            self._links = self._kernel.links()
            self._state.set_links(self._links)
            self._managers.host.set_links(self._links)
        if look.addresses:
            self._view = self._read_host()
        if self._view is not None:
            self._state.set_addresses(self._view.addresses)
        self._linger(now)
        self._started = self._started or self._state.store.may_act
        if not self._started:
            self._pending = _merge(self._pending, Look(all_routes=True, settings=True))
            return True
        self._state.set_survivors(self._survivors.find(self._state.unexplained_links, now))
        dirty = self._state.take_dirty()
        self._managers.routes.look(look.prefixes, everything=look.all_routes)
        well = self._apply(dirty, look, now)
        published = self._outlets.published()
        if dirty.nodes or dirty.everything or look.addresses or published != self._published:
            self._published = published
            self._unsettled = True
        if self._unsettled:
            self._unsettled = not self._settle_node()
        return well

    def _apply(self, dirty: Dirty, look: Look, now: float) -> bool:
        snapshot, managers = self._state.snapshot, self._managers
        if dirty.any:
            managers.routes.decide(dirty, snapshot)
            managers.links.decide(dirty, snapshot, ipv6=managers.host.ipv6)
            for manager in managers.more:
                manager.decide(dirty, snapshot)
        well = managers.host.apply(snapshot)
        sweep = self._sweep.due(now)
        for manager in managers.more:
            well = manager.apply(now, self._links, sweep=sweep) and well
        if look.links or dirty.any or sweep or self._retry.due(now):
            well = managers.links.apply(self._links, sweep=sweep) and well
        store = self._state.store
        fresh = store.may_act and store.connected and not managers.routes.lingers
        return managers.routes.apply(now, orphans_may_go=fresh) and well

    def _linger(self, now: float) -> None:
        if self._state.store.frozen is not None:
            self._linger_until = now + LINGER_SECONDS
        self._managers.routes.lingers = now < self._linger_until

    def _what_to_look_at(self, now: float) -> Look:
        """Hints so far, and what time alone asks for; listing links waits for its interval."""
        look = _merge(self._pending, self._hints.take())
        if look.links or look.settings:
            if self._recheck_at is None:
                self._recheck_at = now + RECHECK_SECONDS
            if not self._list_links.due(now):
                self._pending = Look(links=True)
                return Look(
                    addresses=look.addresses, all_routes=look.all_routes, prefixes=look.prefixes
                )
            look = _merge(look, Look(links=True))
        self._pending = Look()
        rechecking = self._recheck_at is not None and now >= self._recheck_at
        if rechecking:
            self._recheck_at = None
        if rechecking or self._relist.due(now):
            look = _merge(look, Look(all_routes=True))
        return look

    def _read_host(self) -> HostView:
        routes: list[Route] = []
        for protocol in UNDERLAY_PROTOCOLS:
            routes += self._kernel.routes(254, protocol=protocol)
        addresses: tuple[Address, ...] = self._kernel.addresses()
        return HostView(self._links, addresses, tuple(routes))

    def _settle_node(self) -> bool:
        """Detect this node's addresses again and have the Node object say so; False: not yet, because
        what the store holds is told before that it may be acted upon."""
        if self._view is None or not self._state.store.may_act:
            return False
        snapshot = self._state.snapshot
        mine = snapshot.nodes.get(snapshot.me)
        annotations = {} if mine is None else mine.value.meta.annotations
        view = HostView(self._links, self._view.addresses, self._view.routes)
        self._node = {
            version: AddressWish(
                method, detect(version, method, view, recorded_in(annotations, version))
            )
            for version, method in self._methods.items()
        }
        holders = {
            version: holder
            for version, wish in self._node.items()
            if wish.detection.interface is not None
            and (holder := holder_of(wish.detection.interface, snapshot.me, snapshot.nodes))
        }
        wish = NodeWish(self._node, holders, self._outlets.guid(), self._published)
        self._outlets.reporter.wish(wish)
        return True

    def _report(self) -> None:
        """Write the status when it says something new."""
        routes, links = self._managers.routes, self._managers.links
        kernel = status.KernelReport(
            wanted=len(routes.wanted),
            installed=routes.installed,
            failed_routes=routes.failed,
            foreign=routes.foreign,
            guests=routes.guests,
            handed=routes.handed,
            failed_links=links.failed,
            failed_host=self._managers.host.failed,
            host_name_now=self._outlets.host_name_now,
        )
        snapshot, identity = self._state.snapshot, self._outlets.identity
        document = status.document(identity, self._state.store, snapshot, kernel, self._node)
        document["unregistered"] = status.unregistered(
            lasting(snapshot.survivors, self._clock.now())
        )
        document["invalid"] = invalid_objects(self._state.invalid)
        of_node = self._outlets.reporter.node_warnings
        warnings = status.warnings(snapshot, kernel, of_node)
        for manager in self._managers.more:
            document[manager.name] = manager.report()
            warnings += manager.warnings()
        document["warnings"] = warnings
        if document == self._said:
            return
        self._said = document
        INVALID_OBJECTS.labels(status.DAEMON).set(len(self._state.invalid))
        self._outlets.write_status(document)
        self._outlets.reporter.publish(document)


def _merge(one: Look, other: Look) -> Look:
    return Look(
        links=one.links or other.links,
        addresses=one.addresses or other.addresses,
        settings=one.settings or other.settings,
        all_routes=one.all_routes or other.all_routes,
        prefixes=one.prefixes | other.prefixes,
    )
