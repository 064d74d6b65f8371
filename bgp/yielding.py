"""BGP's routes that felix is to take over: kept until felix's stand, so that nothing is lost between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from bgp.model import IPNetwork
from felix_py.kernel.model import Route, RouteKey
from felix_py.kernel.ownership import BGP
from felix_py.runtime.schedule import Interval

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.3
"""How often the kernel is asked for successors while routes wait for them."""

Felixs = Callable[[Iterable[IPNetwork]], set[IPNetwork]]
"""Those of the prefixes at which felix has, or is about to have, a route."""
Successors = Callable[[frozenset[IPNetwork]], frozenset[IPNetwork]]
"""Those of the prefixes at which the kernel holds a route of felix's."""


class Yielding:
    """One thread's. Bounded by the routes that we have; a route waits as long as felix is to write it,
    and is named in status meanwhile."""

    def __init__(self, felixs: Felixs, successors: Successors) -> None:
        self._felixs = felixs
        self._successors = successors
        self._waiting: set[IPNetwork] = set()
        self._look = Interval(LOOK_SECONDS)

    @property
    def waiting(self) -> list[IPNetwork]:
        """Prefixes whose route stays, in order."""
        return sorted(self._waiting, key=lambda prefix: (prefix.version, prefix))

    def keep(
        self, ending: Iterable[IPNetwork], standing: Mapping[RouteKey, Route]
    ) -> set[IPNetwork]:
        """Of prefixes that lose their route, those that must not lose it yet."""
        waiting = {
            prefix for prefix in self._felixs(ending) if RouteKey(prefix, BGP.metric) in standing
        }
        self._waiting |= waiting
        return waiting

    def forget(self, prefixes: Iterable[IPNetwork]) -> None:
        """These are BGP's again."""
        if self._waiting:
            self._waiting.difference_update(prefixes)

    def done(self, now: float, standing: Mapping[RouteKey, Route]) -> set[IPNetwork]:
        """What need not wait any longer."""
        if not self._waiting or not self._look.due(now):
            return set()
        taken = self._successors(frozenset(self._waiting))
        felixs = self._felixs(self._waiting)
        done = {
            prefix
            for prefix in self._waiting
            if prefix in taken
            or RouteKey(prefix, BGP.metric) not in standing
            or prefix not in felixs
        }
        self._waiting -= done
        if done:
            log.info("routes handed over to felix", routes=len(done), waiting=len(self._waiting))
        return done
