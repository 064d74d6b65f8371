"""After an accept: waiting until what was known of the living is back in the store.

An operator accepted a store that had lost data. Nodes, and what lives on them, are put back by their own
daemons within moments, or under load within many; a daemon that decided before that would take away
what is about to return.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.store import MAX_OPERATIONS, Store
from felix_py.runtime.clock import Clock

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
MOST_SECONDS = 30.0
"""Longer nobody is waited for: what is still missing then is gone, pods deleted meanwhile among it."""


@dataclass(frozen=True, slots=True)
class Refill:
    """least_seconds: waited in any case, for what this process cannot know of.
    awaited: which keys, delivered before the store went back, must be there again.
    is_back: whether a key's value is what is waited for: an operator may have made an empty Node."""

    least_seconds: float = 0.0
    awaited: Callable[[str], bool] = lambda _: False
    is_back: Callable[[str, bytes], bool] = lambda _path, _raw: True

    def wait(self, store: Store, known: Iterable[str], clock: Clock, stop: threading.Event) -> None:
        """Returns when all that is awaited of the known keys is back, or time is over."""
        until = clock.now() + MOST_SECONDS
        missing = sorted(path for path in known if self.awaited(path))
        stop.wait(self.least_seconds)
        while missing and clock.now() < until and not stop.is_set():
            try:
                missing = self._absent(store, missing)
            except (StoreAway, StoreRefused) as error:
                log.warning("the refilled store cannot be looked at", reason=str(error))
            if missing:
                stop.wait(LOOK_SECONDS)
        if missing:
            log.warning("not put back into the accepted store", keys=len(missing), one=missing[0])

    def _absent(self, store: Store, paths: list[str]) -> list[str]:
        missing: list[str] = []
        for start in range(0, len(paths), MAX_OPERATIONS):
            found, _ = store.get_many(paths[start : start + MAX_OPERATIONS])
            missing += [
                path
                for path, stored in found.items()
                if stored is None or not self.is_back(path, stored.value)
            ]
        return missing
