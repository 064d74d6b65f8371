"""The status key: written when it changed, never in the daemon's way."""

from __future__ import annotations

import json

import pytest

from felix_py.datastore import status_board
from felix_py.datastore.identity import CLUSTER
from felix_py.datastore.keys import StatusKey
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import NodeName
from felix_py.datastore.status_board import StatusBoard

KEY = StatusKey(NodeName("n"), "bgp").path


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(status_board, "INTERVAL_SECONDS", 0.0)
    return with_cluster(MemoryStore())


def with_cluster(store: MemoryStore) -> MemoryStore:
    store.put(CLUSTER.path, b"{}")
    return store


def published(store: MemoryStore) -> object:
    held = store.get(KEY)
    return None if held is None else json.loads(held.value)


def test_only_changes_are_written(store: MemoryStore) -> None:
    board = StatusBoard(store, StatusKey(NodeName("n"), "bgp"))
    board.publish({"a": 1, "b": 2})
    board.publish({"b": 2, "a": 1})
    assert store.revision == 3
    board.publish({"a": 2})
    assert published(store) == {"a": 2}


def test_an_absent_store_is_tried_again(store: MemoryStore) -> None:
    board = StatusBoard(store, StatusKey(NodeName("n"), "bgp"))
    store.faults.away = True
    board.publish({"a": 1})
    store.faults.away = False
    store.faults.refuse = "no"
    board.publish({"a": 1})
    store.faults.refuse = ""
    board.publish({"a": 1})
    assert published(store) == {"a": 1}


def test_writes_keep_their_distance(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_board, "INTERVAL_SECONDS", 60.0)
    board = StatusBoard(store, StatusKey(NodeName("n"), "bgp"))
    for number in range(10):
        board.publish({"a": number})
    assert published(store) == {"a": 0}


def test_a_document_that_is_too_long_is_left_out(store: MemoryStore) -> None:
    board = StatusBoard(store, StatusKey(NodeName("n"), "bgp"))
    board.publish({"a": "x" * status_board.MAX_STATUS_BYTES})
    assert published(store) is None


def test_a_revision_that_rose_is_no_news(store: MemoryStore) -> None:
    board = StatusBoard(store, StatusKey(NodeName("n"), "bgp"))
    board.publish({"store": {"inSync": True, "revision": 5}})
    written = store.revision
    board.publish({"store": {"inSync": True, "revision": 6}})
    assert store.revision == written
    assert published(store) == {"store": {"inSync": True}}


def test_a_store_that_is_not_trusted_is_not_written_to(store: MemoryStore) -> None:
    board = StatusBoard(store, StatusKey(NodeName("n"), "bgp"))
    fine = {"store": {"inSync": True, "connected": True, "frozen": None}}
    board.publish({"store": {"inSync": False, "connected": True, "frozen": None}})
    board.publish({"store": {"inSync": True, "connected": False, "frozen": None}})
    assert published(store) is None
    board.publish(fine)
    before = store.revision
    board.publish({"store": {**fine["store"], "frozen": "the store went back"}})
    assert store.revision == before
    store.wipe()
    with_cluster(store)
    board.publish(fine)
    assert published(store) == fine


def test_a_store_that_was_replaced_under_a_write_is_not_written_to(store: MemoryStore) -> None:
    board = StatusBoard(store, StatusKey(NodeName("n"), "bgp"))
    board.publish({"a": 1})
    store.wipe()
    board.publish({"a": 2})
    board.publish({"a": 3})
    assert store.revision == 1
    with_cluster(store)
    board.publish({"a": 4})
    assert published(store) == {"a": 4}
