"""One key of the store as it was last known, with what a transaction will compare. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from felix_py.datastore import codec
from felix_py.datastore.keys import Key
from felix_py.datastore.model import Invalid
from felix_py.datastore.store import KeyValue
from felix_py.datastore.values import Value


@dataclass(frozen=True, slots=True)
class Seen:
    """A key as we last knew it. `mod_revision` 0: absent; a value of None besides: unreadable.

    as_of: the revision at which this was known; a watch event from before it is old news.
    """

    value: Value | None = None
    raw: bytes = b""
    mod_revision: int = 0
    create_revision: int = 0
    as_of: int = 0

    @property
    def exists(self) -> bool:
        """True when the key is there, readable or not."""
        return self.mod_revision != 0


UNREADABLE = -1
"""The mod_revision of a watched key whose value is invalid: it must be read before it is compared."""

ABSENT = Seen()


def seen(key: Key, found: KeyValue | None, as_of: int) -> Seen:
    """What a read of a key says."""
    if found is None:
        return Seen(as_of=as_of)
    value = codec.decode(key, found.value)
    return Seen(
        None if isinstance(value, Invalid) else value,
        found.value,
        found.mod_revision,
        found.create_revision,
        as_of,
    )
