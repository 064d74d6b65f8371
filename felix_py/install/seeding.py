"""The first objects in etcd, from the ConfigMap: each is written once and is the operator's from then on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from felix_py.ctl.documents import Document
from felix_py.ctl.errors import Conflict
from felix_py.ctl.writer import Writer
from felix_py.datastore.keys import OWN
from felix_py.datastore.store import ModRevisionIs, Put, Store, Transaction
from felix_py.runtime.errors import RefusedError, TransientError

SEEDED = f"{OWN}seeded"
"""A JSON list of the keys that were written from the ConfigMap, whatever became of them."""


def seed(store: Store, documents: Sequence[Document]) -> Iterator[str]:
    """Create what was never seeded and is not there; what was done, for people. Raises RefusedError."""
    held = store.get(SEEDED)
    done = _names(None if held is None else held.value)
    revision = 0 if held is None else held.mod_revision
    writer = Writer(store)
    for document in documents:
        path = document.key.path
        if path in done:
            yield f"{document.title} was seeded before; etcd's is the operator's"
            continue
        try:
            yield writer.create(document)
        except Conflict:
            yield f"{document.title} is there already and stays as it is"
        done = [*done, path]
        revision = _remember(store, done, revision)


def _remember(store: Store, done: Sequence[str], revision: int) -> int:
    put = Put(SEEDED, json.dumps(sorted(done)).encode())
    outcome = store.transact(Transaction((ModRevisionIs(SEEDED, revision),), (put,)))
    if not outcome.succeeded:
        raise TransientError(f"{SEEDED} was changed by another installation at work; trying again")
    return outcome.revision


def _names(raw: bytes | None) -> list[str]:
    if raw is None:
        return []
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise RefusedError(f"{SEEDED} in etcd is not a list of keys; delete it to seed again")
    return found
