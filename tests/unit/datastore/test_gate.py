"""The gate: who closed it is told by one revision, and only ours is opened."""

from __future__ import annotations

import json

import pytest

from felix_py.datastore import gate
from felix_py.datastore.gate import Gate
from felix_py.datastore.identity import CLUSTER
from felix_py.datastore.keys import RECOVERY_GATE
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.store import Transaction


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    write(store, ready=True)
    return store


def write(store: MemoryStore, *, ready: bool) -> None:
    spec = {"clusterGUID": "g", "datastoreReady": ready, "calicoVersion": "v3"}
    metadata = {"name": "default", "annotations": {"whose": "theirs"}}
    store.put(CLUSTER.path, json.dumps({"metadata": metadata, "spec": spec}).encode())


def found(store: MemoryStore) -> Gate:
    known, _ = gate.look(store)
    assert known is not None
    return known


def test_closing_and_opening_leave_all_else_as_it_is(store: MemoryStore) -> None:
    assert gate.close(store, found(store), "a", "went back")
    closed = found(store)
    assert (closed.is_open, closed.ours) == (False, True)
    store.transact(Transaction((closed.unchanged,), closed.opening()))
    after = store.get(CLUSTER.path)
    assert after is not None
    document = json.loads(after.value)
    assert document["metadata"]["annotations"] == {"whose": "theirs"}
    assert document["spec"] == {"clusterGUID": "g", "datastoreReady": True, "calicoVersion": "v3"}
    assert store.get(RECOVERY_GATE) is None


def test_what_an_operator_closed_is_not_ours_and_its_opening_writes_nothing_there(
    store: MemoryStore,
) -> None:
    write(store, ready=False)
    assert not found(store).ours
    assert all(getattr(each, "value", None) is None for each in found(store).opening())


def test_whoever_writes_after_us_makes_the_gate_their_own(store: MemoryStore) -> None:
    gate.close(store, found(store), "a", "went back")
    write(store, ready=False)
    assert not found(store).ours
    assert found(store).marked


def test_a_gate_that_changed_meanwhile_is_not_closed(store: MemoryStore) -> None:
    before = found(store)
    write(store, ready=True)
    assert not gate.close(store, before, "a", "went back")
    assert found(store).is_open


def test_no_cluster_is_no_gate(store: MemoryStore) -> None:
    store.put(CLUSTER.path, b"{")
    assert gate.look(store)[0] is None
