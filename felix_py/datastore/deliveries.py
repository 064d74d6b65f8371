"""What a syncer has put into its mailbox, so that a new list becomes changes and deletions."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from felix_py.datastore import keys
from felix_py.datastore.changes import Change, SyncMailbox
from felix_py.datastore.concern import Reading, everything
from felix_py.datastore.model import Invalid, Stored
from felix_py.datastore.store import Event, KeyValue
from felix_py.datastore.values import Value

log = structlog.get_logger(__name__)


class Deliveries:
    """Per key the revision delivered last. Keys that nobody of ours can read are passed over, and so
    is what does not concern us; what ceases to is delivered as deleted."""

    def __init__(self, sink: SyncMailbox, reading: Reading = everything) -> None:
        self._sink = sink
        self._reading = reading
        self._revisions: dict[str, int] = {}
        self._distrusted = False
        self._forgotten = False

    @property
    def forgotten(self) -> bool:
        """True from `forget_revisions` to the next `replace`."""
        return self._forgotten

    @property
    def paths(self) -> tuple[str, ...]:
        """The keys that stood, as far as was delivered."""
        return tuple(self._revisions)

    def older_than_delivered(self, items: Sequence[KeyValue]) -> str | None:
        """A key that now stands at a lower revision than the one delivered; None: no such key."""
        if self._forgotten:
            return None
        known = self._revisions
        return next((i.key for i in items if i.mod_revision < known.get(i.key, 0)), None)

    def replace(self, items: Sequence[KeyValue]) -> int:
        """Make the mailbox equal to a complete list; how many keys changed."""
        count = 0
        anew = self._distrusted or self._forgotten
        present = {item.key for item in items}
        for path in [path for path in self._revisions if path not in present]:
            count += self._remove(path)
        for item in items:
            if anew or self._revisions.get(item.key) != item.mod_revision:
                count += self._deliver(item)
        self._distrusted = self._forgotten = False
        return count

    def apply(self, event: Event) -> None:
        """One change; what is not newer than what was delivered is passed over."""
        if event.value is None:
            self._remove(event.key)
        elif event.value.mod_revision > self._revisions.get(event.key, 0):
            self._deliver(event.value)

    def distrust_revisions(self) -> None:
        """Deliver everything at the next `replace`: equal revisions may hide other content."""
        self._distrusted = True

    def forget_revisions(self) -> None:
        """The same, and lower revisions are fine from now on."""
        self._forgotten = True

    def _deliver(self, item: KeyValue) -> int:
        key = keys.parse(item.key)
        if key is None:
            return 0
        value = self._reading(key, item.value)
        if value is None:
            return self._remove(item.key)
        self._revisions[item.key] = item.mod_revision
        change = _change(value, item)
        if change.invalid is not None:
            log.warning(
                "object invalid, counts as absent", key=item.key, reason=change.invalid.reason
            )
        self._sink.put(key, change)
        return 1

    def _remove(self, path: str) -> int:
        if self._revisions.pop(path, None) is None:
            return 0
        key = keys.parse(path)
        assert key is not None, "only keys that parse are delivered"
        self._sink.put(key, Change(None))
        return 1


def _change(value: Value | Invalid, item: KeyValue) -> Change:
    if isinstance(value, Invalid):
        return Change(None, value)
    return Change(Stored(value, item.value, item.create_revision, item.mod_revision))
