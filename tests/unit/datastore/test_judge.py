"""What a store is not followed for, by kind: what is done about it hangs on that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from felix_py.datastore.history import History
from felix_py.datastore.identity import (
    ACCEPTED,
    CLUSTER,
    Cause,
    Frozen,
    accept_document,
    identity_of,
)
from felix_py.datastore.judge import Judge
from felix_py.datastore.memory_store import MemoryStore


class Daemon:
    """A judge and its history in a store of cluster g."""

    def __init__(self, tmp_path: Path) -> None:
        self.store = MemoryStore()
        self.history = History(str(tmp_path), "test")
        self.judge = Judge(self.store, self.history)
        self.cluster("g")
        self.store.put("/x", b"1")
        self.look()
        held = self.store.get("/x")
        assert held is not None
        self.history.saw(held)

    def cluster(self, guid: str, *, ready: bool = True) -> None:
        spec = {"clusterGUID": guid, "datastoreReady": ready}
        self.store.put(CLUSTER.path, json.dumps({"spec": spec}).encode())

    def accept(self, nonce: str) -> None:
        self.store.put(ACCEPTED, accept_document("g", 1, nonce))

    def look(self) -> None:
        found, revision = self.store.get_many((CLUSTER.path, ACCEPTED))
        self.judge.check(identity_of(found[CLUSTER.path], found[ACCEPTED]), revision)

    def disproved(self) -> bool | None:
        found, revision = self.store.get_many((CLUSTER.path, ACCEPTED))
        return self.judge.disproves(identity_of(found[CLUSTER.path], found[ACCEPTED]), revision)

    def cause(self) -> Cause:
        with pytest.raises(Frozen) as frozen:
            self.look()
        return frozen.value.cause


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


def test_the_store_we_know_is_followed(daemon: Daemon) -> None:
    daemon.store.put("/y", b"")
    daemon.look()


def test_a_closed_store_is_only_closed(daemon: Daemon) -> None:
    daemon.cluster("g", ready=False)
    assert daemon.cause() is Cause.CLOSED


def test_a_wiped_store_has_no_cluster_and_another_ones_is_foreign(daemon: Daemon) -> None:
    daemon.store.wipe()
    assert daemon.cause() is Cause.NO_CLUSTER
    daemon.cluster("h")
    assert daemon.cause() is Cause.FOREIGN
    daemon.cluster("h", ready=False)
    assert daemon.cause() is Cause.FOREIGN


def test_a_store_that_went_back_says_so_although_it_is_closed(daemon: Daemon) -> None:
    daemon.store.wipe()
    daemon.cluster("g", ready=False)
    assert daemon.cause() is Cause.WENT_BACK
    for _ in range(9):
        daemon.store.put("/elsewhere", b"")
    assert daemon.cause() is Cause.WENT_BACK


def test_who_saw_nothing_since_the_snapshot_cannot_tell_whether_the_data_returned(
    daemon: Daemon,
) -> None:
    old = daemon.store.snapshot()
    daemon.store.put("/unseen", b"")
    daemon.look()
    daemon.store.restore(old)
    assert daemon.cause() is Cause.WENT_BACK
    daemon.store.put("/elsewhere", b"")
    assert daemon.cause() is Cause.UNSURE


def test_a_store_from_before_the_last_accept_went_back_however_far_it_has_come(
    daemon: Daemon,
) -> None:
    """Another snapshot is restored after one was accepted; its revision is the higher one."""
    daemon.accept("n1")
    daemon.look()
    other = daemon.store.snapshot()
    daemon.accept("n2")
    daemon.look()
    daemon.store.restore(other)
    for _ in range(9):
        daemon.store.put("/elsewhere", b"")
    assert daemon.cause() is Cause.WENT_BACK
    daemon.store.delete(ACCEPTED)
    assert daemon.cause() is Cause.WENT_BACK


def test_an_accept_while_all_is_well_is_remembered(daemon: Daemon) -> None:
    daemon.accept("n1")
    daemon.look()
    assert daemon.history.last_nonce == "n1"
    daemon.accept("n2")
    daemon.look()
    assert daemon.history.last_nonce == "n2"


def test_a_second_look_tells_the_store_that_went_back_from_the_one_that_returned(
    daemon: Daemon,
) -> None:
    old = daemon.store.snapshot()
    for _ in range(9):
        daemon.store.put("/x", b"2")
    new = daemon.store.snapshot()
    daemon.look()
    held = daemon.store.get("/x")
    assert held is not None
    daemon.history.saw(held)
    assert daemon.disproved() is False
    daemon.store.restore(old)
    assert daemon.disproved() is True
    assert daemon.cause() is Cause.WENT_BACK
    assert daemon.disproved() is True
    for _ in range(20):
        daemon.store.put("/elsewhere", b"")
    assert daemon.disproved() is True
    daemon.accept("n1")
    assert daemon.disproved() is False, "it is accepted, which the next look notices"
    daemon.store.restore(new)
    assert daemon.disproved() is False
    daemon.cluster("h")
    assert daemon.disproved() is False, "another cluster's: not ours to judge"
