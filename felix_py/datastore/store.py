"""The port to the store: get, list, transact, watch. Adapters: etcd_store.py and memory_store.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MAX_COMPARES = 128
MAX_OPERATIONS = 128
"""etcd's own limits (max-txn-ops), counted apart for compares and for each branch's operations."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as stored. `version` counts the writes since the key was created."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """All keys of a prefix at one revision, in byte order; `cluster_id` tells stores apart."""

    items: tuple[KeyValue, ...]
    revision: int
    cluster_id: int = 0


@dataclass(frozen=True, slots=True)
class ModRevisionIs:
    """The key was last written at this revision; 0: the key does not exist."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class CreateRevisionIs:
    """The key was created at this revision: same object, whatever its content."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class PrefixUnchangedSince:
    """No key of the prefix was written after this revision. Deletions are not seen."""

    prefix: str
    revision: int


Compare = ModRevisionIs | CreateRevisionIs | PrefixUnchangedSince


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key; absent is fine."""

    key: str


Write = Put | Delete


@dataclass(frozen=True, slots=True)
class Transaction:
    """All writes if all compares hold, else nothing. A key may be written once only."""

    compares: tuple[Compare, ...]
    writes: tuple[Write, ...]
    on_failure_get: tuple[str, ...] = ()
    """Keys to read in the same step when a compare does not hold."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the compares held, at which revision, and what `on_failure_get` found."""

    succeeded: bool
    revision: int
    found: dict[str, KeyValue | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One change: `value` is None for a deletion. `revision` is the change's own."""

    key: str
    value: KeyValue | None
    revision: int


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Changes up to and including `revision`; may be empty (progress).

    Complete for a watch of one prefix. With several, changes of another prefix at or before that
    revision may still follow: etcd keeps the order per prefix, and between prefixes as a rule only.
    """

    events: tuple[Event, ...]
    revision: int


class Watch(Protocol):
    """An open watch. One reader thread."""

    def next(self, timeout_seconds: float) -> EventBatch | None:
        """The next batch, None when nothing came in time.

        Raises RevisionCompacted when history is gone, StoreAway when the watch was cancelled or the
        connection lost: in both cases the reader lists again.
        """
        ...

    def close(self) -> None:
        """End it; safe to repeat."""
        ...


class Store(Protocol):
    """Reads are linearizable. Every call is bounded in time and raises StoreAway at the bound.

    Other errors: StoreRefused. Safe to use from several threads.
    """

    def get(self, key: str) -> KeyValue | None:
        """One key, None when absent."""
        ...

    def get_many(self, keys: Sequence[str]) -> tuple[dict[str, KeyValue | None], int]:
        """Several keys read at one revision, with that revision; at most MAX_OPERATIONS keys."""
        ...

    def list(
        self, prefix: str, *, revision: int = 0, keys_only: bool = False, limit: int = 0
    ) -> Listing:
        """All keys of a prefix at one revision (0: the newest), read in pages; `limit` stops early.

        Raises RevisionCompacted for a revision that is gone.
        """
        ...

    def pages(self, prefix: str, *, revision: int = 0) -> Iterator[Listing]:
        """The same in parts, at least one, for who keeps little of a great many.

        Raises RevisionCompacted in the middle, too: what came before counts for nothing then.
        """
        ...

    def transact(self, transaction: Transaction) -> Outcome:
        """One atomic step. StoreAway means: it may have happened, it may still happen."""
        ...

    def compact(self, revision: int) -> None:
        """Forget the history below this revision; forgotten already is fine."""
        ...

    def watch(self, prefixes: Sequence[str], after_revision: int) -> Watch:
        """Every change of these prefixes after this revision, in the order of revisions."""
        ...

    def close(self) -> None:
        """Let go of connections and threads; safe to repeat."""
        ...
