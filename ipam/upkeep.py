"""What a node's IPAM does unasked: half-way affinities put right. One transaction a turn."""

from __future__ import annotations

import structlog

from felix_py.runtime.clock import Clock
from ipam.batch import Batch
from ipam.commit import Committer
from ipam.reader import Reader
from ipam.repair import repairs
from ipam.tickets import Ticket
from ipam.view import View

log = structlog.get_logger(__name__)


class Upkeep:
    """One thread's; `work` is called only while decisions may be taken."""

    def __init__(self, view: View, reader: Reader, commit: Committer, clock: Clock) -> None:
        self._view = view
        self._reader = reader
        self._commit = commit
        self._clock = clock
        self._repair_wanted = True

    @property
    def wanted(self) -> bool:
        """True while there is something to look at soon."""
        return self._repair_wanted

    def note(self, *, changed: bool) -> None:
        """The view may have changed."""
        self._repair_wanted |= changed

    def work(self) -> bool:
        """Do what is due; False: this comes before requests. Raises StoreAway, StoreRefused."""
        if self._repair_wanted:
            self._repair_affinities()
        return True

    def _repair_affinities(self) -> None:
        """Put our own half-way affinities right; what cannot be decided now is tried again."""
        planned = repairs(self._view)
        self._repair_wanted = planned is not None
        if planned is None:
            return
        draft, decided = planned
        settled = self._commit.commit(Batch[Ticket](draft))
        if settled.revision is not None:
            log.info("affinities repaired", decided=decided)
