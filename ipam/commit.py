"""Commits a batch through the node's fence and keeps the view true, whatever the outcome.

Against: answers while nobody knows whether a transaction happened. A batch whose commit got no answer
stays here, unanswered, until the fence has settled whether it did commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from felix_py.datastore.errors import StoreAway
from felix_py.datastore.keys import Key
from felix_py.datastore.store import Compare, Outcome, Write
from felix_py.runtime.metrics import IPAM_TRANSACTIONS
from ipam.batch import Batch
from ipam.draft import Draft, Written, store_writes
from ipam.reader import Reader
from ipam.seen import Seen
from ipam.tickets import Ticket
from ipam.view import View


class NodeFence(Protocol):
    """What is needed of datastore.fence.Fence."""

    def commit(
        self,
        compares: Sequence[Compare],
        writes: Sequence[Write],
        on_failure_get: Sequence[str] = (),
    ) -> Outcome:
        """One transaction of this node. StoreAway: unsettled, nothing else may be committed."""
        ...

    def settle(self) -> bool:
        """True: the unsettled transaction did commit; False: it did not and never will."""
        ...

    def reopen(self) -> None:
        """The store went back and is trusted again: become its writer anew."""
        ...


@dataclass(slots=True)
class _Open:
    batch: Batch[Ticket]
    keys: frozenset[Key]
    landed: bool = False
    """It did commit; only what it left in the store has still to be read."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch: `revision` None: it did not commit and never will."""

    batch: Batch[Ticket]
    revision: int | None


class Committer:
    """Owns the fence."""

    def __init__(self, view: View, reader: Reader, fence: NodeFence) -> None:
        self._view = view
        self._reader = reader
        self._fence = fence
        self._open: _Open | None = None

    @property
    def unsettled(self) -> list[Ticket]:
        """Those whose answer waits for the fence."""
        return self._open.batch.asked if self._open else []

    @property
    def is_open(self) -> bool:
        """True while a commit's outcome is unknown; nothing else may be committed then."""
        return self._open is not None

    def commit(self, batch: Batch[Ticket]) -> Settled:
        """Try once. Raises StoreAway: the batch is kept and must be settled first."""
        written = batch.draft.writes()
        keys = batch.draft.keys
        try:
            outcome = self._fence.commit(
                batch.draft.compares, store_writes(written), [key.path for key in keys]
            )
        except StoreAway:
            IPAM_TRANSACTIONS.labels("away").inc()
            self._open = _Open(batch, keys)
            raise
        if outcome.succeeded:
            IPAM_TRANSACTIONS.labels("committed").inc()
            self._note(written, batch.draft, outcome.revision)
            return Settled(batch, outcome.revision)
        IPAM_TRANSACTIONS.labels("lost").inc()
        self._look_again(keys, outcome)
        return Settled(batch, None)

    def settle(self) -> Settled | None:
        """Find out what became of the open batch, None when there is none. Raises StoreAway."""
        if self._open is None:
            return None
        open_ = self._open
        if not open_.landed:
            if not self._fence.settle():
                self._forget(open_.keys)
                return self._close(None)
            open_.landed = True
        self._reader.read(open_.keys)
        facts = [self._view.get(key) for key in open_.keys]
        return self._close(max((fact.mod_revision for fact in facts if fact), default=0))

    def reopen(self) -> list[Ticket]:
        """Begin anew on a store that went back and is trusted again; those who waited in vain."""
        self._fence.reopen()
        return self.give_up()

    def give_up(self) -> list[Ticket]:
        """Nobody can say any more what became of the open batch; those who waited for it."""
        tickets, self._open = self.unsettled, None
        return tickets

    def _close(self, revision: int | None) -> Settled:
        assert self._open is not None, "only an open batch is closed"
        batch, self._open = self._open.batch, None
        return Settled(batch, revision)

    def _note(self, written: dict[Key, Written], draft: Draft, revision: int) -> None:
        for key, each in written.items():
            if each.raw is None:
                self._view.learn(key, Seen(as_of=revision))
                continue
            before = draft.view.get(key)
            created = before.create_revision if before and before.exists else revision
            self._view.learn(key, Seen(each.value, each.raw, revision, created, revision))

    def _look_again(self, keys: frozenset[Key], outcome: Outcome) -> None:
        if not self._reader.take_in(keys, outcome.found, outcome.revision):
            self._reader.list_reservations()

    def _forget(self, keys: frozenset[Key]) -> None:
        self._view.forget(key for key in keys if not self._view.is_watched(key))
