"""The port in memory: behaves like etcd 3.4 as far as the port shows it, and fails when told to.

The same contract tests run on this and on the real adapter.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from felix_py.datastore.errors import (
    RevisionCompacted,
    StoreAway,
    StoreRefused,
    StoreWentBack,
)
from felix_py.datastore.memory_history import MemoryHistory, Snapshot, holds
from felix_py.datastore.store import (
    MAX_COMPARES,
    MAX_OPERATIONS,
    Delete,
    EventBatch,
    KeyValue,
    Listing,
    Outcome,
    Put,
    Transaction,
)

PAGE_KEYS = 100
"""Keys per part of what is read in parts."""
MAX_REQUEST_BYTES = 1_572_864
"""etcd's --max-request-bytes; a larger write is refused."""


@dataclass(slots=True)
class Faults:
    """Switches; each count is used up by one transaction each."""

    away: bool = False
    """Every call raises StoreAway and open watches break."""
    lose_response_after_commit: int = 0
    """So many transactions are committed and then raise StoreAway."""
    lose_request: int = 0
    """So many transactions are not committed and raise StoreAway."""
    hold: int = 0
    """So many transactions raise StoreAway and are kept until `deliver_held`."""
    delay: float = 0.0
    """Seconds that every call takes."""
    refuse: str = ""
    """Every call raises StoreRefused with this text."""


class MemoryStore:
    """A store.Store; `faults`, `wipe`, `restore` and `compact` are for tests."""

    def __init__(self, cluster_id: int = 1) -> None:
        self.faults = Faults()
        self._ready = threading.Condition()
        self._history = MemoryHistory(cluster_id)
        self._held: list[Transaction] = []
        self._epoch = 0
        self._closed = False

    @property
    def revision(self) -> int:
        """The newest revision."""
        with self._ready:
            return self._history.revision

    def get(self, key: str) -> KeyValue | None:
        """One key, None when absent."""
        return self.get_many((key,))[0][key]

    def get_many(self, keys: Sequence[str]) -> tuple[dict[str, KeyValue | None], int]:
        """Several keys at one revision, with that revision."""
        self._arrive()
        if len(keys) > MAX_OPERATIONS:
            raise StoreRefused(f"{len(keys)} keys at once; at most {MAX_OPERATIONS}")
        with self._ready:
            return {key: self._history.keys.get(key) for key in keys}, self._history.revision

    def list(
        self, prefix: str, *, revision: int = 0, keys_only: bool = False, limit: int = 0
    ) -> Listing:
        """All keys of a prefix at one revision. Raises RevisionCompacted, StoreWentBack."""
        self._arrive()
        with self._ready:
            history = self._history
            if revision > history.revision:
                raise StoreWentBack(f"revision {revision} is above the store's {history.revision}")
            if revision and revision < history.compacted:
                raise RevisionCompacted(f"revision {revision} is compacted away; list again")
            at = revision or history.revision
            keys = history.keys if at == history.revision else history.keys_at(at)
            found = sorted((key for key in keys if key.startswith(prefix)), key=str.encode)
            items = [keys[key] for key in found[: limit or None]]
            if keys_only:
                items = [replace(item, value=b"") for item in items]
            return Listing(tuple(items), at, history.cluster_id)

    def pages(self, prefix: str, *, revision: int = 0) -> Iterator[Listing]:
        """The same in parts of a few keys."""
        whole = self.list(prefix, revision=revision)
        for first in range(0, max(1, len(whole.items)), PAGE_KEYS):
            yield replace(whole, items=whole.items[first : first + PAGE_KEYS])

    def transact(self, transaction: Transaction) -> Outcome:
        """One atomic step; raises StoreAway as the faults say."""
        self._arrive()
        _check(transaction)
        with self._ready:
            faults = self.faults
            if faults.lose_request:
                faults.lose_request -= 1
                raise StoreAway("the request was lost")
            if faults.hold:
                faults.hold -= 1
                self._held.append(transaction)
                raise StoreAway("no answer in time")
            outcome = self._apply(transaction)
            if faults.lose_response_after_commit:
                faults.lose_response_after_commit -= 1
                raise StoreAway("the answer was lost")
            return outcome

    def watch(self, prefixes: Sequence[str], after_revision: int) -> MemoryWatch:
        """Every change of these prefixes after this revision."""
        self._arrive()
        return MemoryWatch(self, tuple(prefixes), after_revision)

    def close(self) -> None:
        """Break open watches; later calls raise StoreAway."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def put(self, key: str, value: bytes) -> int:
        """Another client's write, past all faults; its revision."""
        with self._ready:
            return self._apply(Transaction((), (Put(key, value),))).revision

    def delete(self, key: str) -> int:
        """Another client's deletion, past all faults; its revision."""
        with self._ready:
            return self._apply(Transaction((), (Delete(key),))).revision

    def deliver_held(self) -> builtins.list[Outcome]:
        """Commit what `hold` kept, now."""
        with self._ready:
            held, self._held = self._held, []
            return [self._apply(transaction) for transaction in held]

    def compact(self, revision: int = 0) -> None:
        """Forget the history below this revision (0: the newest)."""
        with self._ready:
            self._history.compacted = revision or self._history.revision
            self._ready.notify_all()

    def break_watches(self) -> None:
        """Cut every open watch, as a lost connection does."""
        with self._ready:
            self._epoch += 1
            self._ready.notify_all()

    def wipe(self, *, keep_cluster_id: bool = True) -> None:
        """Start over empty, as after `rm -rf` of etcd's data directory."""
        with self._ready:
            known = self._history.cluster_id
            self._history = MemoryHistory(known if keep_cluster_id else known + 1)
        self.break_watches()

    def snapshot(self) -> Snapshot:
        """The store as it stands, for `restore`."""
        with self._ready:
            return self._history.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot; revisions count on from there."""
        with self._ready:
            self._history = MemoryHistory.of(snapshot)
        self.break_watches()

    def _arrive(self) -> None:
        faults = self.faults
        if faults.delay:
            threading.Event().wait(faults.delay)
        if faults.away or self._closed:
            raise StoreAway("no connection to the store")
        if faults.refuse:
            raise StoreRefused(faults.refuse)

    def _apply(self, transaction: Transaction) -> Outcome:
        history = self._history
        if not all(holds(compare, history.keys) for compare in transaction.compares):
            found = {key: history.keys.get(key) for key in transaction.on_failure_get}
            return Outcome(succeeded=False, revision=history.revision, found=found)
        history.write(transaction.writes)
        self._ready.notify_all()
        return Outcome(succeeded=True, revision=history.revision)


class MemoryWatch:
    """A store.Watch on a MemoryStore."""

    def __init__(self, store: MemoryStore, prefixes: tuple[str, ...], after_revision: int) -> None:
        self._store = store
        self._prefixes = prefixes
        self._after = after_revision
        self._epoch = store._epoch  # noqa: SLF001  a watch is a part of its store
        self._open = True

    def next(self, timeout_seconds: float) -> EventBatch | None:
        """The next batch, None when nothing came in time."""
        store = self._store
        with store._ready:  # noqa: SLF001
            store._ready.wait_for(self._something, timeout_seconds)  # noqa: SLF001
            if self._broken():
                raise StoreAway("the watch was cut")
            history = store._history  # noqa: SLF001
            if self._after + 1 < history.compacted:
                raise RevisionCompacted(f"revision {self._after + 1} is compacted; list again")
            events = tuple(history.events_after(self._after, self._prefixes))
            if not events:
                return None
            self._after = history.revision
            return EventBatch(events, history.revision)

    def close(self) -> None:
        """End it; safe to repeat."""
        with self._store._ready:  # noqa: SLF001
            self._open = False
            self._store._ready.notify_all()  # noqa: SLF001

    def _broken(self) -> bool:
        store = self._store
        return (
            not self._open
            or store.faults.away
            or store._closed  # noqa: SLF001
            or store._epoch != self._epoch  # noqa: SLF001
        )

    def _something(self) -> bool:
        history = self._store._history  # noqa: SLF001
        return (
            self._broken()
            or self._after + 1 < history.compacted
            or next(history.events_after(self._after, self._prefixes), None) is not None
        )


def _check(transaction: Transaction) -> None:
    if len(transaction.compares) > MAX_COMPARES:
        raise StoreRefused(f"{len(transaction.compares)} compares; at most {MAX_COMPARES}")
    if max(len(transaction.writes), len(transaction.on_failure_get)) > MAX_OPERATIONS:
        raise StoreRefused(f"too many operations in one transaction; at most {MAX_OPERATIONS}")
    keys = [write.key for write in transaction.writes]
    if len(set(keys)) != len(keys):
        raise StoreRefused("duplicate key given in one transaction; write each key once")
    size = sum(len(write.value) for write in transaction.writes if isinstance(write, Put))
    if size > MAX_REQUEST_BYTES:
        raise StoreRefused(f"request of {size} bytes is too large; at most {MAX_REQUEST_BYTES}")
