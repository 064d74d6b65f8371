"""The steps of a recovery in the store, for who leads it: a node's cni server, or felixctl."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from felix_py.datastore import codec
from felix_py.datastore.gate import Gate
from felix_py.datastore.identity import ACCEPTED, accept_document
from felix_py.datastore.keys import (
    RECOVERY_ANSWERS,
    RECOVERY_QUESTION,
    ResourceKey,
    kind_prefix,
    parse,
)
from felix_py.datastore.model import Kind, NodeName, Stored, WorkloadEndpoint
from felix_py.datastore.store import Compare, Delete, Put, Store, Transaction
from ipam.errors import StaleLease
from ipam.findings import Snapshot
from ipam.free import release_addresses
from ipam.gone import release_endpoint
from ipam.office import Office
from ipam.recovery import Recovery
from ipam.recovery_papers import Answer, decode


def nodes_of(store: Store) -> set[NodeName]:
    """Every node that the store has an object of."""
    prefix = kind_prefix(Kind.NODE)
    items = store.list(prefix, keys_only=True).items
    return {NodeName(item.key.removeprefix(prefix)) for item in items}


def answered_by(store: Store) -> dict[NodeName, int]:
    """Whose answer lies there, to whatever question, and its revision."""
    return {
        NodeName(item.key.removeprefix(RECOVERY_ANSWERS)): item.mod_revision
        for item in store.list(RECOVERY_ANSWERS, keys_only=True).items
    }


def answers_to(store: Store, nonce: str) -> dict[NodeName, Answer]:
    """What each node says to this question."""
    found: dict[NodeName, Answer] = {}
    for item in store.list(RECOVERY_ANSWERS).items:
        answer = decode(item.value, nonce)
        if answer is not None:
            found[NodeName(item.key.removeprefix(RECOVERY_ANSWERS))] = answer
    return found


def release(
    store: Store, snapshot: Snapshot, made: Recovery, beat: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """What lives no more, each as it was judged: endpoints, and addresses beside theirs.

    beat: called between any two; there may be thousands. Raises StaleLease, NotYours, GaveUp: something
    changed meanwhile, and what beat raises.
    """
    office = Office(store)
    for path in made.endpoints:
        key = parse(path)
        assert isinstance(key, ResourceKey)
        seen = _as_judged(store, key, snapshot.endpoints[path].revision)
        if seen is None or not release_endpoint(office, key, seen):
            raise StaleLease(f"{path} changed meanwhile")
        beat()
    return len(made.endpoints), len(release_addresses(office, made.leases).released)


def accept_and_open(store: Store, gate: Gate, revision: int, also: tuple[Compare, ...]) -> bool:
    """The store is the one to go on with: said, and our gate opened, in one step; False: lost.

    The answers stay: each node takes its own away when all that lives there is registered.
    """
    accepted = accept_document(gate.cluster.cluster_guid, revision, secrets.token_hex(16))
    writes = (Put(ACCEPTED, accepted), *gate.opening(), Delete(RECOVERY_QUESTION))
    return store.transact(Transaction((gate.unchanged, *also), writes)).succeeded


def forget(store: Store) -> None:
    """The question and its answers."""
    answers = store.list(RECOVERY_ANSWERS, keys_only=True).items
    for path in (RECOVERY_QUESTION, *(item.key for item in answers)):
        store.transact(Transaction((), (Delete(path),)))


def _as_judged(store: Store, key: ResourceKey, revision: int) -> Stored[WorkloadEndpoint] | None:
    """The endpoint, unless it is another by now."""
    item = store.get(key.path)
    value = codec.decode(key, item.value) if item else None
    if item is None or item.mod_revision != revision or not isinstance(value, WorkloadEndpoint):
        return None
    return Stored(value, item.value, item.create_revision, item.mod_revision)
