"""What a document makes of an object: before, after, and what must still be so when it is written."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass

from felix_py.ctl import yaml_text
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.store import Compare, KeyValue, ModRevisionIs, Put


@dataclass(frozen=True, slots=True)
class Change:
    """before: as stored, None: not there; after: as it will be.

    room: compares by which an object's neighbours are still those that it was checked against.
    """

    key: ResourceKey
    title: str
    before: KeyValue | None
    after: bytes
    room: tuple[Compare, ...] = ()

    @property
    def unchanged(self) -> bool:
        """There is nothing to write."""
        return self.before is not None and json.loads(self.after) == json.loads(self.before.value)

    @property
    def compares(self) -> tuple[Compare, ...]:
        """What must still be so when it is written."""
        revision = 0 if self.before is None else self.before.mod_revision
        return (ModRevisionIs(self.key.path, revision), *self.room)

    @property
    def write(self) -> Put:
        """The write itself."""
        return Put(self.key.path, self.after)

    @property
    def done(self) -> str:
        """What was done, for people."""
        return "created" if self.before is None else "changed"


def difference(key: ResourceKey, before: bytes | None, after: bytes | None) -> str:
    """The lines that differ, as `diff -u` prints them; None: there is no object."""
    lines = difflib.unified_diff(
        _lines(before),
        _lines(after),
        f"{key.path} (in etcd)",
        f"{key.path} (to be written)",
        lineterm="",
    )
    return "\n".join(lines)


def _lines(raw: bytes | None) -> list[str]:
    if raw is None:
        return []
    try:
        return yaml_text.render(json.loads(raw)).splitlines()
    except ValueError:
        return raw.decode("utf-8", "replace").splitlines()
