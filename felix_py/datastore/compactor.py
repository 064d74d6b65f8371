"""Forgets etcd's old history, once per period for all nodes together, where etcd does not do it itself.

Every ADD leaves about 20 kB of history; a store that never forgets reaches its quota and then
refuses everything, releases included. One key notes the revision that stood one period ago. Whoever
finds that nobody moved it for a whole period moves it by compare-and-swap and compacts to what it
said before: so there is one leader per period without an election, and a watcher has at least one
period to catch up (kube-apiserver does it the same way, `storage/etcd3/compact.go`).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog

from felix_py.datastore.errors import RevisionCompacted, StoreAway, StoreRefused, StoreWentBack
from felix_py.datastore.keys import COMPACTED
from felix_py.datastore.store import KeyValue, ModRevisionIs, Put, Store, Transaction

JITTER = 0.1
"""Each period is stretched by up to this share, so that nodes started together do not come together."""

log = structlog.get_logger(__name__)


class Compactor:
    """One per node; a failed round is simply the next node's or the next period's work."""

    def __init__(self, store: Store, period_seconds: int, may_act: Callable[[], bool]) -> None:
        self._store = store
        self._period_seconds = period_seconds
        self._may_act = may_act
        self._seen = -1
        """The note's mod_revision one period ago; 0: it did not exist; -1: not looked yet."""

    def run(self, stop: threading.Event) -> None:
        """Once per period until told to stop; period 0: wait for the end."""
        if not self._period_seconds:
            stop.wait()
        while not stop.wait(self._period_seconds * (1 + JITTER * random.random())):
            try:
                self.step()
            except (StoreAway, StoreRefused, StoreWentBack, RevisionCompacted) as error:
                log.warning("history not compacted", reason=str(error))

    def step(self) -> int:
        """One look; the revision that was compacted to, 0: not our turn. Raises what the store does."""
        if not self._may_act():
            return 0
        found, revision = self._store.get_many([COMPACTED])
        note = found[COMPACTED]
        stands_at = note.mod_revision if note else 0
        if self._seen != stands_at:
            self._seen = stands_at
            return 0
        move = Transaction(
            (ModRevisionIs(COMPACTED, stands_at),), (Put(COMPACTED, str(revision).encode()),)
        )
        outcome = self._store.transact(move)
        if not outcome.succeeded:
            return 0
        self._seen = outcome.revision
        return self._compact_to(_noted(note))

    def _compact_to(self, revision: int) -> int:
        if revision:
            self._store.compact(revision)
            log.info("history compacted", revision=revision)
        return revision


def _noted(note: KeyValue | None) -> int:
    """The revision in a note; 0 when there is none or it is not a number of ours."""
    text = note.value if note else b""
    return int(text) if text.isdigit() and len(text) < 20 else 0
