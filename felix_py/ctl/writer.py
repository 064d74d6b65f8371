"""Writes resources: checked as our daemons will read them, compared and swapped, or not at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from felix_py.ctl import rules
from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from felix_py.datastore.codec import decode, render_new
from felix_py.datastore.codec_json import dumps
from felix_py.datastore.keys import BlockKey, ResourceKey, block_prefix, kind_prefix, parse
from felix_py.datastore.model import Invalid, IPNetwork, IPPool, Kind, WorkloadEndpoint
from felix_py.datastore.store import (
    Compare,
    Delete,
    KeyValue,
    ModRevisionIs,
    PrefixUnchangedSince,
    Put,
    Store,
    Transaction,
)
from felix_py.datastore.values import Value

MAX_ATTEMPTS = 5
"""Tries of an `apply` that loses its race; then the user is told."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a document makes of an object. before: as stored, None: not there; after: as it will be.

    room: compares by which a new object's neighbours are still those that it was checked against.
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


class Writer:
    """create, apply, delete and label against one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, document: Document) -> str:
        """Write an object that must not be there yet; what was done, for people."""
        document = rules.complete(document)
        if document.resource_version:
            raise CommandError(
                f"{document.title}: metadata.resourceVersion must be empty to create"
            )
        if self._store.get(document.key.path) is not None:
            raise Conflict(f"{document.title}: already there; use apply to change it")
        if not self._put_new(document):
            raise Conflict(f"{document.title}: somebody else created it just now; use apply")
        return f"{document.title} created"

    def apply(self, document: Document) -> str:
        """Create or replace; labels, annotations and spec are the document's, the rest is kept."""
        for _ in range(MAX_ATTEMPTS):
            change = self.foresee(document)
            if change.unchanged:
                return f"{change.title} unchanged"
            if self._store.transact(Transaction(change.compares, (change.write,))).succeeded:
                return f"{change.title} {change.done}"
        raise Conflict(
            f"{document.title}: changed by others {MAX_ATTEMPTS} times meanwhile; try again"
        )

    def foresee(self, document: Document) -> Change:
        """What `apply` would write, checked against what is stored. Raises CommandError."""
        document = rules.complete(document)
        stored = self._store.get(document.key.path)
        if stored is not None:
            _check_version(document, stored)
            raw = _replacement(document, stored)
            change = Change(document.key, document.title, stored, raw)
            if not change.unchanged:
                self._check_change(document, stored, raw)
            return change
        if document.resource_version:
            raise NotThere(
                f"{document.title}: not there any more; remove metadata.resourceVersion to create it"
            )
        raw = _new(document)
        value = _decoded(document.key, raw, document.title)
        room = self._room_for(value) if isinstance(value, IPPool) else ()
        return Change(document.key, document.title, None, raw, room)

    def edit(self, key: ResourceKey, title: str, change: Callable[[bytes], bytes]) -> None:
        """Rewrite a stored object by a function of its text, compared and swapped."""
        for _ in range(MAX_ATTEMPTS):
            stored = self._store.get(key.path)
            if stored is None:
                raise NotThere(f"{title}: not there")
            raw = change(stored.value)
            _decoded(key, raw, title)
            if self._swap(stored, raw):
                return
        raise Conflict(f"{title}: changed by others {MAX_ATTEMPTS} times meanwhile; try again")

    def delete(self, key: ResourceKey, title: str, *, resource_version: str = "") -> str:
        """Remove an object; what was done, for people. Raises NotThere."""
        stored = self._store.get(key.path)
        if stored is None:
            raise NotThere(f"{title}: not there")
        if resource_version and resource_version != str(stored.mod_revision):
            raise Conflict(f"{title}: resourceVersion is {stored.mod_revision} now; look again")
        outcome = self._store.transact(
            Transaction((ModRevisionIs(stored.key, stored.mod_revision),), (Delete(stored.key),))
        )
        if not outcome.succeeded:
            raise Conflict(f"{title}: somebody else changed it just now; try again")
        return f"{title} deleted"

    def _put_new(self, document: Document) -> bool:
        raw = _new(document)
        value = _decoded(document.key, raw, document.title)
        room = self._room_for(value) if isinstance(value, IPPool) else ()
        change = Change(document.key, document.title, None, raw, room)
        return self._store.transact(Transaction(change.compares, (change.write,))).succeeded

    def _room_for(self, pool: IPPool) -> tuple[Compare, ...]:
        """Refuse what overlaps; a pool that somebody else makes meanwhile fails the transaction."""
        prefix = kind_prefix(Kind.IP_POOL)
        listing = self._store.list(prefix)
        pools = [
            value
            for item in listing.items
            if (key := parse(item.key)) and isinstance(value := decode(key, item.value), IPPool)
        ]
        rules.check_room(pool, pools, self._blocks(pool.cidr.version))
        return (PrefixUnchangedSince(prefix, listing.revision),)

    def _blocks(self, version: int) -> list[IPNetwork]:
        keys = self._store.list(block_prefix(version), keys_only=True).items
        return [key.cidr for item in keys if isinstance(key := parse(item.key), BlockKey)]

    def _check_change(self, document: Document, stored: KeyValue, raw: bytes) -> None:
        value = _decoded(document.key, raw, document.title)
        before = decode(document.key, stored.value)
        if isinstance(value, IPPool) and isinstance(before, IPPool):
            rules.check_unchanged(before, value, document.title)

    def _swap(self, stored: KeyValue, raw: bytes) -> bool:
        compares = (ModRevisionIs(stored.key, stored.mod_revision),)
        return self._store.transact(Transaction(compares, (Put(stored.key, raw),))).succeeded


def check(document: Document) -> None:
    """Raises CommandError when the document could not be written, whatever is stored."""
    complete = rules.complete(document)
    _decoded(complete.key, _new(complete), complete.title)


def _new(document: Document) -> bytes:
    return render_new(
        document.key,
        document.spec,
        uid=document.uid or str(uuid.uuid4()),
        created_at=now_text(),
        labels=document.labels,
        annotations=document.annotations,
        status=document.status,
    )


def now_text() -> str:
    """Now, as Calico writes times: RFC 3339 UTC in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _replacement(document: Document, stored: KeyValue) -> bytes:
    """The new text: metadata but labels and annotations, and the status, as stored (`calicoctl apply`)."""
    old = _object(stored.value, document.title)
    metadata = _mapping(old.get("metadata"))
    kept = {
        name: text
        for name, text in _mapping(metadata.get("annotations")).items()
        if name.startswith(rules.OWN_ANNOTATIONS)
    }
    fresh = json.loads(
        render_new(
            document.key,
            document.spec,
            uid=str(metadata.get("uid") or uuid.uuid4()),
            created_at=str(metadata.get("creationTimestamp") or now_text()),
            labels=document.labels,
            annotations={**kept, **document.annotations},
            status=_mapping(old["status"]) if "status" in old else document.status,
        )
    )
    others = {
        name: value
        for name, value in metadata.items()
        if name not in {"labels", "annotations", "resourceVersion", "selfLink"}
    }
    fresh["metadata"] = {**others, **fresh["metadata"]}
    return dumps(fresh)


def _check_version(document: Document, stored: KeyValue) -> None:
    given = document.resource_version
    if given and given != str(stored.mod_revision):
        raise Conflict(
            f"{document.title}: metadata.resourceVersion is {given} in {document.source} and "
            f"{stored.mod_revision} in etcd; get it again or remove the field"
        )


def _decoded(key: ResourceKey, raw: bytes, title: str) -> Value:
    """What our daemons will read; an object that they would pass over is not written."""
    value = decode(key, raw)
    if isinstance(value, Invalid):
        raise CommandError(f"{title}: {value.reason}")
    if isinstance(value, WorkloadEndpoint) and isinstance(value.qos, Invalid):
        raise CommandError(f"{title}: {value.qos.reason}")
    return value


def _object(raw: bytes, title: str) -> dict[str, Any]:
    try:
        loaded = json.loads(raw)
    except ValueError:
        loaded = None
    if not isinstance(loaded, dict):
        raise CommandError(
            f"{title}: what is stored is not an object; delete it and create it anew"
        )
    return loaded


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
