"""Keys, revisions and events of the store in memory, without locks or faults."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from felix_py.datastore.store import (
    Compare,
    CreateRevisionIs,
    Delete,
    Event,
    KeyValue,
    ModRevisionIs,
    Write,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a store held at a revision."""

    keys: Mapping[str, KeyValue]
    events: tuple[Event, ...]
    revision: int
    compacted: int
    cluster_id: int


class MemoryHistory:
    """Like etcd's: revision 1 when empty, one more for each transaction that changes something."""

    def __init__(self, cluster_id: int) -> None:
        self.keys: dict[str, KeyValue] = {}
        self.revision = 1
        self.compacted = 0
        self.cluster_id = cluster_id
        self._events: list[Event] = []

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """A history that goes on from a snapshot."""
        history = cls(snapshot.cluster_id)
        history.keys = dict(snapshot.keys)
        history.revision = snapshot.revision
        history.compacted = snapshot.compacted
        history._events = list(snapshot.events)
        return history

    def snapshot(self) -> Snapshot:
        """What `of` takes."""
        events = tuple(self._events)
        return Snapshot(dict(self.keys), events, self.revision, self.compacted, self.cluster_id)

    def write(self, writes: Sequence[Write]) -> None:
        """All of it at one new revision; deleting what is absent changes nothing."""
        effective = [
            write for write in writes if not isinstance(write, Delete) or write.key in self.keys
        ]
        if not effective:
            return
        self.revision += 1
        for write in effective:
            if isinstance(write, Delete):
                del self.keys[write.key]
                self._events.append(Event(write.key, None, self.revision))
                continue
            before = self.keys.get(write.key)
            value = KeyValue(
                key=write.key,
                value=write.value,
                create_revision=before.create_revision if before else self.revision,
                mod_revision=self.revision,
                version=before.version + 1 if before else 1,
            )
            self.keys[write.key] = value
            self._events.append(Event(write.key, value, self.revision))

    def keys_at(self, revision: int) -> dict[str, KeyValue]:
        """What there was at an older revision."""
        keys: dict[str, KeyValue] = {}
        for event in self._events[: self._first_after(revision)]:
            if event.value is None:
                keys.pop(event.key, None)
            else:
                keys[event.key] = event.value
        return keys

    def events_after(self, revision: int, prefixes: tuple[str, ...]) -> Iterator[Event]:
        """Events of these prefixes after a revision, oldest first."""
        for index in range(self._first_after(revision), len(self._events)):
            if self._events[index].key.startswith(prefixes):
                yield self._events[index]

    def _first_after(self, revision: int) -> int:
        return bisect.bisect_right(self._events, revision, key=lambda event: event.revision)


def holds(compare: Compare, keys: Mapping[str, KeyValue]) -> bool:
    """Whether a compare is true of these keys; an absent key has revision 0."""
    if isinstance(compare, ModRevisionIs):
        held = keys.get(compare.key)
        return (held.mod_revision if held else 0) == compare.revision
    if isinstance(compare, CreateRevisionIs):
        held = keys.get(compare.key)
        return (held.create_revision if held else 0) == compare.revision
    return all(
        value.mod_revision <= compare.revision
        for key, value in keys.items()
        if key.startswith(compare.prefix)
    )
