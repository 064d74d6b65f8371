"""The syncer told as stories on the store in memory; the reader sees what a daemon would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from felix_py.datastore import syncer as syncer_module
from felix_py.datastore.identity import ACCEPTED, CLUSTER, accept_document
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import IPPool
from felix_py.datastore.refill import Refill
from tests.unit.datastore.syncer_daemon import Daemon, cluster, pool, pool_text


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        *(("PROBE_SECONDS", 0.05), ("READ_SECONDS", 0.02), ("FIRST_RETRY_SECONDS", 0.02)),
        *(("LONGEST_RETRY_SECONDS", 0.05), ("RECHECK_SECONDS", 0.2)),
    ):
        monkeypatch.setattr(syncer_module, name, seconds)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.put(CLUSTER.path, cluster())
    store.put(pool("a").path, pool_text("10.0.0.0/16"))
    return store


@pytest.fixture
def daemon(store: MemoryStore, tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.may_act)
        yield daemon


def test_the_first_list_is_put_before_in_sync(store: MemoryStore, tmp_path: Path) -> None:
    store.put("/calico/resources/v3/projectcalico.org/ippools/a/b", b"no key of ours")
    with Daemon(store, tmp_path) as daemon:
        while not daemon.states or not daemon.state.in_sync:
            daemon.take()
        assert set(daemon.values) == {CLUSTER, pool("a")}
        assert daemon.state.revision == store.revision


def test_changes_deletions_and_invalid_objects_are_told(store: MemoryStore, daemon: Daemon) -> None:
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    store.put(pool("c").path, pool_text("10.1.0.1/16"))
    store.delete(pool("a").path)
    daemon.until(lambda d: d.holds(pool("b")) and not d.holds(pool("a")) and pool("c") in d.values)
    value = daemon.values[pool("b")].stored
    assert value is not None
    assert isinstance(value.value, IPPool)
    assert value.raw == pool_text("10.1.0.0/16")
    invalid = daemon.values[pool("c")].invalid
    assert invalid is not None
    assert "spec.cidr" in invalid.reason
    daemon.until(lambda d: d.state.revision == store.revision)


def test_what_vanished_while_the_watch_was_cut_is_deleted_and_nothing_is_told_twice(
    store: MemoryStore, daemon: Daemon
) -> None:
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    daemon.until(lambda d: d.holds(pool("b")))
    before = daemon.changes
    store.faults.away = True
    daemon.until(lambda d: not d.state.connected)
    assert daemon.state.may_act
    store.delete(pool("b").path)
    store.put(pool("d").path, pool_text("10.2.0.0/16"))
    store.compact()
    store.faults.away = False
    daemon.until(lambda d: d.state.connected and d.holds(pool("d")) and not d.holds(pool("b")))
    assert daemon.changes == before + 2


def test_history_compacted_under_the_watch_makes_it_list_again(
    store: MemoryStore, daemon: Daemon
) -> None:
    store.break_watches()
    store.put(pool("a").path, pool_text("10.9.0.0/16"))
    store.compact()
    daemon.until(lambda d: d.state.connected and d.state.revision == store.revision)
    stored = daemon.values[pool("a")].stored
    assert stored is not None
    assert stored.raw == pool_text("10.9.0.0/16")


@pytest.mark.parametrize("keep_cluster_id", [True, False])
def test_a_wiped_store_freezes_and_deletes_nothing(
    store: MemoryStore,
    daemon: Daemon,
    keep_cluster_id: bool,  # noqa: FBT001
) -> None:
    before = daemon.changes
    store.wipe(keep_cluster_id=keep_cluster_id)
    daemon.until(lambda d: d.state.frozen is not None)
    assert "absent" in str(daemon.state.frozen)
    daemon.settle()
    assert daemon.changes == before
    assert daemon.holds(pool("a"))
    assert not daemon.state.may_act


def test_a_wipe_without_the_freeze_would_delete(store: MemoryStore, daemon: Daemon) -> None:
    """The control of the test above: an ordinary deletion of everything is delivered."""
    store.delete(pool("a").path)
    daemon.until(lambda d: not d.holds(pool("a")))


def test_a_restored_store_freezes_and_thaws_when_its_data_returns(
    store: MemoryStore, daemon: Daemon
) -> None:
    old = store.snapshot()
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    daemon.until(lambda d: d.holds(pool("b")))
    new = store.snapshot()
    store.restore(old)
    daemon.until(lambda d: d.state.frozen is not None)
    assert "went back" in str(daemon.state.frozen)
    daemon.settle()
    assert daemon.holds(pool("b"))
    store.restore(new)
    daemon.until(lambda d: d.state.may_act)
    assert daemon.holds(pool("b"))


def test_a_restored_store_that_overtook_us_is_known_by_its_older_keys(
    store: MemoryStore, daemon: Daemon
) -> None:
    old = store.snapshot()
    store.put(pool("a").path, pool_text("10.1.0.0/16"))
    daemon.until(lambda d: d.state.revision == store.revision)
    store.faults.away = True
    daemon.until(lambda d: not d.state.connected)
    store.restore(old)
    for _ in range(20):
        store.put("/elsewhere", b"")
    store.faults.away = False
    daemon.until(lambda d: d.state.frozen is not None)
    assert pool("a").path in str(daemon.state.frozen)
    daemon.settle()
    assert not daemon.state.may_act


def accept(store: MemoryStore, guid: str = "g1", nonce: str = "n1") -> None:
    store.put(ACCEPTED, accept_document(guid, store.revision, nonce))


def test_an_accepted_store_is_followed_from_then_on(store: MemoryStore, daemon: Daemon) -> None:
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    daemon.until(lambda d: d.holds(pool("b")))
    store.wipe()
    daemon.until(lambda d: d.state.frozen is not None)
    store.put(CLUSTER.path, cluster("g2"))
    store.put(pool("b").path, pool_text("10.3.0.0/16"))
    daemon.until(lambda d: "g2" in str(d.state.frozen))
    accept(store, "g1")
    daemon.settle()
    assert daemon.state.frozen is not None, "accepted another cluster than this"
    accept(store, "g2", "n2")
    daemon.until(lambda d: d.state.may_act and not d.holds(pool("a")))
    stored = daemon.values[pool("b")].stored
    assert stored is not None
    assert stored.raw == pool_text("10.3.0.0/16")


def test_an_accepted_restore_with_older_keys_is_followed(
    store: MemoryStore, daemon: Daemon
) -> None:
    test_a_restored_store_that_overtook_us_is_known_by_its_older_keys(store, daemon)
    accept(store)
    daemon.until(lambda d: d.state.may_act)
    stored = daemon.values[pool("a")].stored
    assert stored is not None
    assert stored.raw == pool_text("10.0.0.0/16")


def test_an_accept_key_counts_once(store: MemoryStore, daemon: Daemon) -> None:
    accept(store, nonce="n0")
    old = store.snapshot()
    accept(store, nonce="n1")
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    daemon.until(lambda d: d.holds(pool("b")))
    store.restore(old)
    daemon.until(lambda d: d.state.frozen is not None)
    daemon.settle()
    assert daemon.state.frozen is not None
    accept(store, nonce="n2")
    daemon.until(lambda d: d.state.may_act and not d.holds(pool("b")))


def test_a_locked_store_holds_still_and_catches_up_when_unlocked(
    store: MemoryStore, daemon: Daemon
) -> None:
    store.put(CLUSTER.path, cluster(ready=False))
    daemon.until(lambda d: d.state.frozen is not None)
    assert "datastoreReady" in str(daemon.state.frozen)
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    daemon.settle()
    assert not daemon.holds(pool("b"))
    store.put(CLUSTER.path, cluster())
    daemon.until(lambda d: d.state.may_act and d.holds(pool("b")))


def test_a_store_that_was_never_initialised_is_waited_for(tmp_path: Path) -> None:
    store = MemoryStore()
    store.put(pool("a").path, pool_text("10.0.0.0/16"))
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.frozen is not None)
        daemon.settle()
        assert not daemon.state.in_sync
        assert daemon.values == {}
        store.put(CLUSTER.path, cluster())
        daemon.until(lambda d: d.state.may_act and d.holds(pool("a")))


def test_a_restarted_daemon_remembers_the_store(store: MemoryStore, tmp_path: Path) -> None:
    old = store.snapshot()
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.may_act)
    store.restore(old)
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.frozen is not None)
        assert not daemon.state.in_sync
        assert daemon.values == {}


def test_a_refusing_store_is_tried_again(store: MemoryStore, tmp_path: Path) -> None:
    store.faults.refuse = "permission denied"
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: bool(d.states))
        daemon.settle(0.2)
        store.faults.refuse = ""
        daemon.until(lambda d: d.state.may_act)


def test_a_restored_store_that_grows_past_us_stays_frozen_over_restarts(
    store: MemoryStore, tmp_path: Path
) -> None:
    """Only additions after the snapshot, so that no key tells: other clients write meanwhile."""
    old = store.snapshot()
    store.put(pool("b").path, pool_text("10.1.0.0/16"))
    new = store.snapshot()
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.may_act)
        store.restore(old)
        daemon.until(lambda d: d.state.frozen is not None)
        for _ in range(20):
            store.put("/elsewhere", b"")
        daemon.settle()
        assert "seen last" in str(daemon.state.frozen)
        assert daemon.holds(pool("b"))
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.frozen is not None)
        daemon.settle()
        assert not daemon.state.may_act
        store.restore(new)
        daemon.until(lambda d: d.state.may_act and d.holds(pool("b")))


def test_the_data_that_returns_is_known_by_its_past(store: MemoryStore, daemon: Daemon) -> None:
    old = store.snapshot()
    store.put(pool("a").path, pool_text("10.1.0.0/16"))
    daemon.until(lambda d: d.state.revision == store.revision)
    new = store.snapshot()
    store.restore(old)
    daemon.until(lambda d: d.state.frozen is not None)
    store.faults.away = True
    daemon.until(lambda d: not d.state.connected)
    store.restore(new)
    store.put(pool("a").path, pool_text("10.2.0.0/16"))
    store.faults.away = False
    daemon.until(lambda d: d.state.may_act)
    stored = daemon.values[pool("a")].stored
    assert stored is not None
    assert stored.raw == pool_text("10.2.0.0/16")


def test_what_was_seen_last_is_missed_after_a_restart(store: MemoryStore, tmp_path: Path) -> None:
    """The store went back and grew while the daemon was down: its revision tells nothing."""
    old = store.snapshot()
    store.put(pool("a").path, pool_text("10.1.0.0/16"))
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.may_act)
    store.restore(old)
    for _ in range(20):
        store.put("/elsewhere", b"")
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.frozen is not None)
        assert pool("a").path in str(daemon.state.frozen)
        daemon.settle()
        assert daemon.values == {}
        accept(store)
        daemon.until(lambda d: d.state.may_act and d.holds(pool("a")))


def test_after_an_accept_the_store_is_left_alone_for_a_while(
    store: MemoryStore, tmp_path: Path
) -> None:
    with Daemon(store, tmp_path, refill=Refill(0.5)) as daemon:
        daemon.until(lambda d: d.state.may_act)
        store.wipe()
        store.put(CLUSTER.path, cluster())
        daemon.until(lambda d: d.state.frozen is not None)
        accept(store)
        daemon.settle(0.3)
        assert daemon.state.frozen is not None
        store.put(pool("a").path, pool_text("10.0.0.0/16"))
        before = len(daemon.states)
        daemon.until(lambda d: d.state.may_act)
        assert len(daemon.states) == before + 1
        assert daemon.holds(pool("a"))


def test_after_an_accept_the_store_is_followed_when_what_is_awaited_is_back(
    store: MemoryStore, tmp_path: Path
) -> None:
    awaited, other = pool("a"), pool("b")
    for each, cidr in ((awaited, "10.0.0.0/16"), (other, "10.1.0.0/16")):
        store.put(each.path, pool_text(cidr))
    refill = Refill(0.0, awaited.path.__eq__, lambda _, raw: b"cidr" in raw)
    with Daemon(store, tmp_path, refill=refill) as daemon:
        daemon.until(lambda d: d.state.may_act)
        store.wipe()
        store.put(CLUSTER.path, cluster())
        daemon.until(lambda d: d.state.frozen is not None)
        accept(store)
        daemon.settle(1.5)
        assert daemon.state.frozen is not None
        store.put(awaited.path, b"{}")
        daemon.settle(1.5)
        assert daemon.state.frozen is not None
        assert daemon.holds(awaited)
        store.put(awaited.path, pool_text("10.0.0.0/16"))
        daemon.until(lambda d: d.state.may_act)
        assert daemon.holds(awaited)
        daemon.until(lambda d: not d.holds(other))
