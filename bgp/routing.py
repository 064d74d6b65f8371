"""Learned paths to the kernel: decide what is dirty, resolve, write, look again when the kernel changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import structlog

from bgp.calc.learned_routes import Decision, Refusal
from bgp.fib import Fib
from bgp.learned import Learned
from bgp.model import IPAddress, IPNetwork
from bgp.rib_in import RibIn
from bgp.state import Dirty, Snapshot
from bgp.underlay import UnderlayReader, touches_underlay
from felix_py.kernel.hints import Hints, Look
from felix_py.kernel.ownership import FELIX
from felix_py.runtime.schedule import Backoff, Interval, Retry

log = structlog.get_logger(__name__)

RELIST_SECONDS = 60.0
"""All our routes and the underlay are read again this often, whatever netlink said."""
RECHECK_SECONDS = 0.4
"""After a link changed everything is read once more: the kernel drops the IPv4 routes of a link that
goes down without saying so, even when the link is back before we look."""

QUIET = frozenset({FELIX.route_protocol})
"""Pods' routes are felix's, and no next hop goes through them: their changes are nothing to us."""


class Routing:
    """Keeps learned routes in the kernel. One thread owns it; nothing is touched before `start`."""

    def __init__(
        self,
        rib: RibIn,
        learned: Learned,
        fib: Fib,
        underlay: UnderlayReader,
        hints: Hints,
        *,
        keep_seconds: float,
    ) -> None:
        self._rib, self._learned, self._fib = rib, learned, fib
        self._underlay, self._hints = underlay, hints
        self._keep_seconds = keep_seconds
        self._keep_until: float | None = None
        self._relist = Interval(RELIST_SECONDS)
        self._recheck_at: float | None = None
        self._retry = Retry(Backoff(0.05, 5.0))
        self._to_apply = True

    def start(self, now: float) -> None:
        """Adopt what an earlier process left. Raises DumpInterrupted, KernelRefused; then again."""
        kept = self._fib.adopt()
        self._relist.due(now)
        self._keep_until = now + self._keep_seconds
        log.info("kernel routes adopted", routes=kept)

    def update(self, snapshot: Snapshot, dirty: Dirty, now: float) -> None:
        """One round after `start`; what the kernel refused is tried again with growing delays."""
        dirty.everything_learned |= self._look(snapshot, now)
        changes = self._learned.update(snapshot, dirty, self._underlay.addresses)
        if changes:
            self._fib.learn(changes)
            self._to_apply = True
        if self._fib.adopting and self._may_complete(now):
            log.info("routes nobody announced again are dropped", routes=self._fib.complete())
            self._to_apply = True
        if self._fib.yield_to_felix(now):
            self._to_apply = True
        if self._to_apply or self._retry.due(now):
            self._to_apply = False
            self._retry.record(now, failed=self._fib.apply())

    def wait_seconds(self, now: float, otherwise: float) -> float:
        """Until something refused is tried again."""
        return self._retry.wait_seconds(now, otherwise)

    def look_again(self) -> None:
        """A round failed half-way: distrust everything."""
        self._hints.everything()
        self._to_apply = True

    def refusals(self) -> tuple[Mapping[Refusal, int], Mapping[Refusal, list[str]]]:
        """Counts and examples of paths that are not used."""
        return self._learned.refusals()

    def decision(self, prefix: IPNetwork) -> Decision:
        """What became of a prefix that peers announced."""
        return self._learned.decision(prefix)

    def over_limit(self) -> Iterable[IPAddress]:
        """Peers that announce more than their prefix limit."""
        return self._learned.over_limit()

    @property
    def wanted(self) -> int:
        """Prefixes that should have a route."""
        return len(self._learned.next_hops)

    @property
    def fib(self) -> Fib:
        """The kernel side, to be read only."""
        return self._fib

    def _may_complete(self, now: float) -> bool:
        assert self._keep_until is not None
        return now >= self._keep_until or not self._rib.waiting_for()

    def _look(self, snapshot: Snapshot, now: float) -> bool:
        """Read what the kernel changed; True when this host's own addresses are others now."""
        look = self._due(now)
        if look.topology or look.all_routes or self._moves(look.prefixes, snapshot):
            before = self._underlay.addresses
            if self._fib.stand_on(self._underlay.read()):
                self._to_apply = True
            addresses_changed = before != self._underlay.addresses
        else:
            addresses_changed = False
        if look.topology or look.all_routes:
            self._fib.note(frozenset())
            self._to_apply = True
        elif look.prefixes:
            self._fib.note(look.prefixes)
            self._to_apply = True
        return addresses_changed

    def _due(self, now: float) -> Look:
        look = self._hints.take()
        if look.topology and self._recheck_at is None:
            self._recheck_at = now + RECHECK_SECONDS
        elif self._recheck_at is not None and now >= self._recheck_at:
            self._recheck_at = None
            return Look(links=True)
        if self._relist.due(now):
            return Look(links=look.topology, all_routes=True, prefixes=look.prefixes)
        return look

    def _moves(self, prefixes: frozenset[IPNetwork], snapshot: Snapshot) -> bool:
        return touches_underlay(prefixes, (pool.cidr for pool in snapshot.pools.values()))
