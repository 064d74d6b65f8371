"""Driver: keeps one owner's routes in one kernel table as wanted."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Mapping, Sequence

import structlog

from felix_py.kernel.delta import DeltaTracker, Plan
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import (
    MAIN_TABLE,
    DropRoute,
    IPNetwork,
    PutRoute,
    Route,
    RouteChange,
    RouteKey,
)
from felix_py.kernel.netlink_batch import describe
from felix_py.kernel.ownership import Owner
from felix_py.kernel.port import Kernel
from felix_py.kernel.route_answers import Failures, as_shown, doubtful, first_per_key
from felix_py.runtime.metrics import ROUTES_REFUSED, ROUTES_WRITTEN

log = structlog.get_logger(__name__)

APPLY_ROUNDS = 3
"""Write, read back what was doubtful, write what that showed. What is still wrong after the last
round is answered as refused, and the caller tries again later."""


class RouteTable:
    """Keeps one owner's routes in one kernel table equal to what it was told.

    Things that have gone wrong for others, and that this class is shaped by:
    - the kernel keys routes by prefix, metric and TOS, not by prefix;
    - IPv4 `replace` ignores the protocol and overwrites an administrator's route, so we create
      exclusively and replace only what was seen to be ours; a foreign route at our key is reported;
    - an interface can come back with the same name and a new index;
    - a dump can be torn by a concurrent change and must be read again;
    - CNI adds a workload's route before we hear of the workload: what exists with our protocol is
      adopted, at the start and whenever a creation is answered EEXIST;
    - IPv4 can hold two routes at one key (`ip route append`): of ours the later ones are removed.

    One thread. After relist, note or apply raised (DumpInterrupted, KernelRefused), what was to be
    read is read by the next apply, before it writes anything.
    """

    def __init__(self, kernel: Kernel, owner: Owner, table: int = MAIN_TABLE) -> None:
        self._kernel = kernel
        self._owner = owner
        self._table = table
        self._delta: DeltaTracker[RouteKey, Route] = DeltaTracker()
        self._foreign: dict[RouteKey, Route] = {}
        self._surplus: list[Route] = []
        self._metrics: set[int] = {owner.metric}
        self._listed = False
        self._unread: set[IPNetwork] = set()
        self._log = log.bind(owner=owner.name, table=table)

    @property
    def desired(self) -> Mapping[RouteKey, Route]:
        """What was wanted last."""
        return self._delta.desired

    @property
    def actual(self) -> Mapping[RouteKey, Route]:
        """Our owner's routes as last seen."""
        return self._delta.actual

    @property
    def foreign(self) -> Mapping[RouteKey, Route]:
        """Others' routes that sit at keys we want: reported, never overwritten."""
        return self._foreign

    def want(self, changes: Mapping[RouteKey, Route | None]) -> None:
        """Change the wishes at these keys; None: no route of ours there."""
        checked = self._checked
        self._delta.want(
            {key: None if route is None else checked(key, route) for key, route in changes.items()}
        )

    def want_exactly(self, routes: Mapping[RouteKey, Route]) -> None:
        """Replace all wishes."""
        self._delta.want_exactly({key: self._checked(key, route) for key, route in routes.items()})

    def relist(self) -> None:
        """Distrust what was seen and read it back. Raises DumpInterrupted, KernelRefused."""
        self._listed = False
        present = self._kernel.routes(self._table, protocol=self._owner.route_protocol)
        first, self._surplus = first_per_key(present)
        self._metrics = {self._owner.metric} | {key.metric for key in first}
        self._delta.saw_exactly(first)
        self._unread.clear()
        self._listed = True

    def note(self, prefixes: frozenset[IPNetwork]) -> None:
        """Something changed at these prefixes: read just those. Raises as relist does."""
        self._unread |= prefixes
        if not self._listed or not self._unread:
            return
        noted = frozenset(self._unread)
        present = self._kernel.routes_to(noted, self._table)
        self._unread -= noted
        ours = [route for route in present if route.protocol == self._owner.route_protocol]
        first, surplus = first_per_key(ours)
        self._surplus = [r for r in self._surplus if r.key.prefix not in noted] + surplus
        self._metrics |= {key.metric for key in first}
        for key in self._keys_of(noted):
            self._delta.saw(key, first.get(key))
            self._foreign.pop(key, None)
        for route in present:
            if route.protocol != self._owner.route_protocol and route.key in self._delta.desired:
                self._foreign[route.key] = route

    def apply(self) -> Mapping[RouteKey, KernelRefused]:
        """Make the kernel agree; what is still wrong, by key: try again later.

        Only routes with our protocol are replaced or removed. Raises DumpInterrupted or
        KernelRefused when the kernel could not be read; nothing is written on wrong knowledge.
        """
        started = time.perf_counter()
        if not self._listed:
            self.relist()
        self.note(frozenset())
        self._forget_unwanted_foreign()
        self._drop_surplus()
        errors: dict[RouteKey, KernelRefused] = {}
        done = 0
        only: frozenset[RouteKey] | None = None
        for _ in range(APPLY_ROUNDS):
            plan = self._delta.plan()
            changes = self._changes(plan, only)
            if not changes:
                break
            failures = self._write(plan, changes)
            done += len(changes) - len(failures)
            errors |= {change.route.key: error for change, error in failures}
            unclear = {change.route.key for change, error in failures if doubtful(change, error)}
            if not unclear:
                break
            self.note(frozenset(key.prefix for key in unclear))
            only = frozenset(unclear - self._foreign.keys())
        return self._still_wrong(errors, done, started)

    def _changes(
        self, plan: Plan[RouteKey, Route], only: frozenset[RouteKey] | None
    ) -> list[RouteChange]:
        """The plan as kernel changes, upserts first; in later rounds only of some keys.

        Of the upserts those with `onlink` come last: the kernel looks for the way to their gateways.
        """
        upsert, delete = plan.upsert, plan.delete
        if only is not None:
            upsert = {key: route for key, route in upsert.items() if key in only}
            delete = {key: route for key, route in delete.items() if key in only}
        actual = self._delta.actual
        ordered = sorted(upsert.items(), key=_is_onlink)
        changes: list[RouteChange] = [PutRoute(route, key in actual) for key, route in ordered]
        changes += map(DropRoute, delete.values())
        return changes

    def _write(self, plan: Plan[RouteKey, Route], changes: list[RouteChange]) -> Failures:
        """Write and remember what was done."""
        if self._foreign:
            return self._write_around(changes)
        answers = self._kernel.change_routes(changes)
        size = len(plan.upsert) + len(plan.delete)
        if len(changes) == size and answers.count(None) == size:
            self._delta.carried_out(plan)
            self._count(len(plan.upsert), len(plan.delete))
            return []
        return self._remember(changes, answers)

    def _write_around(self, changes: list[RouteChange]) -> Failures:
        """Where an administrator appended a route at our key, a replacement could hit theirs: it is
        answered EEXIST without being tried."""
        clear = [change for change in changes if not self._would_overwrite(change)]
        given = iter(self._kernel.change_routes(clear))
        answers = [
            KernelRefused(describe(change), errno.EEXIST, "another owner's route stands there too")
            if self._would_overwrite(change)
            else next(given)
            for change in changes
        ]
        return self._remember(changes, answers)

    def _remember(
        self, changes: Sequence[RouteChange], answers: Sequence[KernelRefused | None]
    ) -> Failures:
        """What was done is what stands now."""
        failures: Failures = []
        put = 0
        for change, error in zip(changes, answers, strict=True):
            route = change.route
            if error is not None:
                failures.append((change, error))
            elif isinstance(change, PutRoute):
                self._foreign.pop(route.key, None)
                self._delta.saw(route.key, route)
                put += 1
            else:
                self._delta.saw(route.key, None)
        self._count(put, len(changes) - len(failures) - put)
        return failures

    def _count(self, put: int, dropped: int) -> None:
        ROUTES_WRITTEN.labels(self._owner.name, "put").inc(put)
        ROUTES_WRITTEN.labels(self._owner.name, "drop").inc(dropped)

    def _would_overwrite(self, change: RouteChange) -> bool:
        return (
            isinstance(change, PutRoute)
            and change.replaces_ours
            and change.route.key in self._foreign
        )

    def _drop_surplus(self) -> None:
        """Remove our second routes at a key: never the one that the kernel uses."""
        drops = [DropRoute(route) for route in self._surplus]
        answers = self._kernel.change_routes(drops) if drops else ()
        self._surplus = [
            drop.route for drop, error in zip(drops, answers, strict=True) if error is not None
        ]

    def _still_wrong(
        self, errors: Mapping[RouteKey, KernelRefused], done: int, started: float
    ) -> dict[RouteKey, KernelRefused]:
        remaining = self._delta.plan()
        wrong = {
            key: errors.get(key) or KernelRefused(f"route {key.prefix}", errno.EAGAIN)
            for key in (*remaining.upsert, *remaining.delete)
        }
        if done or wrong:
            ROUTES_REFUSED.labels(self._owner.name).inc(len(wrong))
            took_ms = round((time.perf_counter() - started) * 1000, 1)
            self._log.info(
                "routes applied",
                written=done,
                refused=len(wrong),
                foreign=len(self._foreign),
                took_ms=took_ms,
            )
        return wrong

    def _keys_of(self, prefixes: Iterable[IPNetwork]) -> Iterable[RouteKey]:
        """Every key that may be known at these prefixes: our metrics are few."""
        return (
            RouteKey(prefix, metric, self._table) for prefix in prefixes for metric in self._metrics
        )

    def _forget_unwanted_foreign(self) -> None:
        desired = self._delta.desired  # views are not subtracted: that walks through every wish
        for key in [key for key in self._foreign if key not in desired]:
            del self._foreign[key]

    def _checked(self, key: RouteKey, route: Route) -> Route:
        assert key == route.key
        assert key.table == self._table
        assert route.protocol == self._owner.route_protocol
        assert key.prefix.version == 4 or key.metric, "IPv6 turns metric 0 into 1024"
        return as_shown(route)


def prefixes_of(
    kernel: Kernel, owner: Owner, prefixes: frozenset[IPNetwork]
) -> frozenset[IPNetwork]:
    """Those of the prefixes at which the main table holds a route of this owner's."""
    present = kernel.routes_to(prefixes)
    return frozenset(r.key.prefix for r in present if r.protocol == owner.route_protocol)


def _is_onlink(item: tuple[RouteKey, Route]) -> bool:
    return any(hop.onlink for hop in item[1].next_hops)
