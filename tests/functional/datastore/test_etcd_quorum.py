"""Three members: no quorum, a leader that stops, and what was asked of them meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from felix_py.datastore.errors import StoreAway
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.fence import Fence
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import KeyValue, Put, Transaction, Watch
from tests.support.etcd_cluster import EtcdCluster

pytestmark = pytest.mark.etcd

PATIENCE_SECONDS = 40.0
MACHINE = "a" * 32


@pytest.fixture
def cluster() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


def until_error(watch: Watch) -> float:
    started = time.monotonic()
    with pytest.raises(StoreAway):
        read_on(watch, started + PATIENCE_SECONDS)
    return time.monotonic() - started


def read_on(watch: Watch, deadline: float) -> None:
    while time.monotonic() < deadline:
        watch.next(0.5)


def eventually_get(store: EtcdStore, key: str) -> KeyValue | None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return store.get(key)
        except StoreAway:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def settled(fence: Fence) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return fence.settle()
        except StoreAway:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_transaction_that_waits_for_a_quorum_is_settled_truly(cluster: EtcdCluster) -> None:
    leader = cluster.leader()
    others = [member for member in range(3) if member != leader]
    store = EtcdStore.connect(cluster.settings(leader, timeout_seconds=0.5))
    fence = Fence(store, NodeName("w"), MACHINE)
    fence.open()
    for member in others:
        cluster.pause(member)
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/calico/x", b"v"),))
    for member in others:
        cluster.resume(member)
    truth = settled(fence)
    held = eventually_get(store, "/calico/x")
    assert (held is not None) is truth
    assert fence.commit((), (Put("/calico/y", b"v"),)).succeeded
    store.close()


def test_a_transaction_that_got_no_answer_is_carried_out_when_the_quorum_returns(
    cluster: EtcdCluster,
) -> None:
    """The control of the test above: this is what a fence is for."""
    leader = cluster.leader()
    others = [member for member in range(3) if member != leader]
    store = EtcdStore.connect(cluster.settings(leader, timeout_seconds=0.3))
    for member in others:
        cluster.pause(member)
    with pytest.raises(StoreAway):
        store.transact(Transaction((), (Put("/calico/late", b"v"),)))
    for member in others:
        cluster.resume(member)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while eventually_get(store, "/calico/late") is None:
        assert time.monotonic() < deadline
    store.close()


def test_a_watch_on_a_member_without_a_leader_ends(cluster: EtcdCluster) -> None:
    store = EtcdStore.connect(cluster.settings(0, timeout_seconds=1.0))
    revision = store.transact(Transaction((), (Put("/calico/a", b""),))).revision
    watch = store.watch(["/calico/"], revision)
    cluster.kill(1)
    cluster.kill(2)
    assert until_error(watch) < 15
    with pytest.raises(StoreAway):
        store.get("/calico/a")
    store.close()


def test_reads_and_watches_move_away_from_a_leader_that_stops(cluster: EtcdCluster) -> None:
    leader = cluster.leader()
    order = (leader, (leader + 1) % 3, (leader + 2) % 3)
    store = EtcdStore.connect(cluster.settings(*order, timeout_seconds=3.0))
    revision = store.transact(Transaction((), (Put("/calico/a", b"1"),))).revision
    cluster.pause(leader)
    try:
        held = eventually_get(store, "/calico/a")
        assert held is not None
        watch = store.watch(["/calico/"], revision)
        written = store.transact(Transaction((), (Put("/calico/a", b"2"),)))
        batch = watch.next(PATIENCE_SECONDS)
        assert batch is not None
        assert batch.revision == written.revision
    finally:
        cluster.resume(leader)
    store.close()
