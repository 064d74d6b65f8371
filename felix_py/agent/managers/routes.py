"""All of felix's routes: local endpoints', blackholes of own blocks, and those to other nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from felix_py.agent.calc import routes, vtep_routes
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import IPNetwork, Route, RouteKey
from felix_py.kernel.ownership import FELIX
from felix_py.kernel.route_table import RouteTable

log = structlog.get_logger(__name__)

GUEST_SECONDS = 10.0
"""How long a route with our mark may stand unexplained. The CNI server writes a pod's route just
after the endpoint's transaction, so the kernel can be ahead of our watch; and a pod whose endpoint
is slow to arrive must not lose its route meanwhile. After this it is an orphan and goes."""


Successors = Callable[[frozenset[IPNetwork]], frozenset[IPNetwork]]
"""Those of the prefixes at which the kernel holds a route of BGP's."""


class RouteManager:
    """Every route with felix's mark, in one table driver.

    A route with our mark that nothing explains is a guest: wanted as it is, for GUEST_SECONDS. A
    route that we wanted and do not want any more goes at once, but only while it is still the very
    route that we wanted: the next pod with the same address may have put its own there already.
    A route to another node that has become BGP's to write stays until BGP's stands beside it.
    """

    def __init__(self, table: RouteTable, successors: Successors) -> None:
        self._table = table
        self._successors = successors
        self._wanted: dict[RouteKey, Route] = {}
        self._retired: dict[RouteKey, Route] = {}
        self._guests: dict[RouteKey, float] = {}
        self._bgps: set[RouteKey] = set()
        self._vteps: dict[RouteKey, Route] = {}
        self._handed: dict[RouteKey, Route] = {}
        self.failed: Mapping[RouteKey, KernelRefused] = {}
        self.lingers = False
        """A store that was frozen is being filled again: what it does not explain any more is a guest."""

    @property
    def wanted(self) -> Mapping[RouteKey, Route]:
        """What the decisions ask for."""
        return self._wanted

    @property
    def guests(self) -> Iterable[RouteKey]:
        """Routes with our mark that nothing explains yet."""
        return self._guests.keys()

    @property
    def handed(self) -> Iterable[RouteKey]:
        """Routes that stay until BGP has its own at their prefixes."""
        return self._handed.keys()

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
        if dirty.everything or dirty.nodes or dirty.all_remotes:
            self._decide_vteps(snapshot)
        prefixes = dirty.addresses | dirty.blocks | dirty.remotes
        if dirty.all_remotes or dirty.everything:
            prefixes |= snapshot.owners.keys()
        if dirty.everything:
            prefixes |= snapshot.claims.keys() | snapshot.survivors.keys() | snapshot.blocks.keys()
            prefixes |= {key.prefix for key in self._wanted}
        for prefix in prefixes:
            self._decide_one(RouteKey(prefix, FELIX.metric), snapshot)

    def _decide_vteps(self, snapshot: Snapshot) -> None:
        """A far VTEP's route comes before another node's that is to lead through it."""
        before, self._vteps = self._vteps, vtep_routes.routes(snapshot)
        for key, route in self._vteps.items():
            if self._wanted.get(key) != route:
                self._set(key, route)
        for key in before.keys() - self._vteps.keys():
            self._decide_one(key, snapshot)

    def _decide_one(self, key: RouteKey, snapshot: Snapshot) -> None:
        if key in self._vteps:
            return
        route, bgps = routes.route_of(key.prefix, snapshot)
        if bgps:
            self._bgps.add(key)
        else:
            self._bgps.discard(key)
        if route is None and bgps:
            standing = self._wanted.pop(key, None)
            if standing is not None:
                self._handed[key] = standing
            return
        standing = self._handed.pop(key, None)
        if standing is not None:
            self._wanted.setdefault(key, standing)
        self._set(key, route)

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
        self._hand_over()
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
        if old is not None and not self.lingers:
            self._retired[key] = old
            self._table.want({key: None})

    def _receive_guests(self, now: float, *, orphans_may_go: bool) -> None:
        actual = self._table.actual
        changes: dict[RouteKey, Route | None] = {}
        for key, route in actual.items():
            if key in self._wanted or key in self._handed or self._retired.get(key) == route:
                continue
            if key in self._bgps:
                self._handed[key] = changes[key] = route
                self._guests.pop(key, None)
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

    def _hand_over(self) -> None:
        """Let go of what BGP has taken over, and of what the kernel itself has dropped."""
        if not self._handed:
            return
        actual = self._table.actual
        taken = self._successors(frozenset(key.prefix for key in self._handed))
        done = [key for key in self._handed if key.prefix in taken or key not in actual]
        for key in done:
            self._retired[key] = self._handed.pop(key)
        if done:
            log.info("routes handed over to BGP", routes=len(done), waiting=len(self._handed))
            self._table.want(dict.fromkeys(done))
