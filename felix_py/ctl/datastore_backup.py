"""`felixctl datastore backup` and `restore`: our keys and Calico's in one file, for an etcd made anew.

A line of JSON for each key, read at one revision. What daemons say of themselves and what tells a store from
another is left out: a restored store has to be recognised as one (`felixctl ipam recover`).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from felix_py.ctl.connection import Session
from felix_py.ctl.datastore import gate_of
from felix_py.ctl.errors import CommandError
from felix_py.datastore.identity import ACCEPTED, CLUSTER
from felix_py.datastore.keys import AUDIT, COMPACTED, OWN, OWN_CONTROLLERS, OWN_NODES, RECOVERY
from felix_py.datastore.store import (
    Compare,
    CreateRevisionIs,
    KeyValue,
    Put,
    Store,
    Transaction,
    Write,
)

CALICO = "/calico/"
LEFT_OUT = (OWN_NODES, OWN_CONTROLLERS, COMPACTED, AUDIT, RECOVERY, ACCEPTED)
FORMAT = 1
AT_ONCE = 50
"""Keys of one transaction, each with a compare; etcd takes 128 operations and 1.5 MB."""


def backup(session: Session, file: Path) -> str:
    """Write the file, whole or not at all; what was done, for people. Raises CommandError."""
    with session.store() as store:
        cluster = gate_of(store)[0].cluster
        listing = store.list(CALICO)
        own = store.list(OWN, revision=listing.revision)
    items = [*listing.items, *(i for i in own.items if not i.key.startswith(LEFT_OUT))]
    head = {
        "felixPyBackup": FORMAT,
        "clusterGUID": cluster.cluster_guid,
        "revision": listing.revision,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "keys": len(items),
    }
    try:
        _write(file, (json.dumps(head), *(_line(item) for item in items)))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}: write the backup elsewhere") from error
    return f"{len(items)} keys at revision {listing.revision} written to {file}"


def restore(session: Session, file: Path) -> str:
    """Write all keys of the file into a store that has none. Raises CommandError.

    ClusterInformation comes last: until then every daemon holds still.
    """
    items = _read(file)
    with session.store() as store:
        if (first := next(iter(store.list(CALICO, limit=1).items), None)) is not None:
            raise CommandError(
                f"{first.key}: is there already; a backup is restored into an etcd without keys of ours, "
                "delete the prefixes /calico/ and /felix-py/ first if this is the right one"
            )
        last = [item for item in items if item[0] == CLUSTER.path]
        others = [item for item in items if item[0] != CLUSTER.path]
        for number in range(0, len(others), AT_ONCE):
            _put(store, others[number : number + AT_ONCE])
        _put(store, last)
    return (
        f"{len(items)} keys restored from {file}; where nothing conflicts nodes go on by themselves "
        "(`felixctl status`), else `felixctl ipam recover`"
    )


def _put(store: Store, items: Sequence[tuple[str, bytes]]) -> None:
    compares: tuple[Compare, ...] = tuple(CreateRevisionIs(key, 0) for key, _ in items)
    writes: tuple[Write, ...] = tuple(Put(key, value) for key, value in items)
    if items and not store.transact(Transaction(compares, writes)).succeeded:
        raise CommandError(
            f"somebody writes into this etcd meanwhile ({items[0][0]} or a key after it): stop them, "
            "delete the prefixes /calico/ and /felix-py/ and repeat"
        )


def _line(item: KeyValue) -> str:
    try:
        return json.dumps({"key": item.key, "value": item.value.decode()})
    except UnicodeDecodeError:
        return json.dumps({"key": item.key, "base64": base64.b64encode(item.value).decode()})


def _write(file: Path, lines: Iterable[str]) -> None:
    made = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            output.writelines(f"{line}\n" for line in lines)
            output.flush()
            os.fsync(output.fileno())
        made.replace(file)
    finally:
        made.unlink(missing_ok=True)


def _read(file: Path) -> list[tuple[str, bytes]]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: cannot be read: {error}") from error
    try:
        head = json.loads(lines[0])
        if head["felixPyBackup"] != FORMAT:
            raise CommandError(f"{file}: is of format {head['felixPyBackup']}, this reads {FORMAT}")
        items = list(_items(lines[1:]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CommandError(
            f"{file}: is no backup of felixctl, or was changed: {error!r}"
        ) from error
    if len(items) != head["keys"]:
        raise CommandError(f"{file}: has {len(items)} of {head['keys']} keys: it is not whole")
    return items


def _items(lines: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for line in lines:
        told = json.loads(line)
        key = told["key"]
        if not isinstance(key, str) or not key.startswith((CALICO, OWN)):
            raise ValueError(f"{key!r} is not a key of ours")
        text = told.get("value")
        yield key, text.encode() if text is not None else base64.b64decode(told["base64"])
