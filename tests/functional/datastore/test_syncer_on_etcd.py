"""The syncer on a real etcd that crashes, is compacted, wiped, restored or paused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec
import pytest

from felix_py.datastore.changes import Change, StoreState, SyncMailbox
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.history import History
from felix_py.datastore.identity import ACCEPTED, CLUSTER, accept_document
from felix_py.datastore.keys import RESOURCES, ResourceKey
from felix_py.datastore.model import Kind
from felix_py.datastore.store import Put, Transaction
from felix_py.datastore.syncer import Syncer
from felix_py.runtime.clock import SystemClock
from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.etcd

PATIENCE_SECONDS = 30.0
POOLS = f"{RESOURCES}ippools/"


def cluster(guid: str = "g1") -> str:
    return json.dumps({"spec": {"clusterGUID": guid, "datastoreReady": True}})


def pool(number: int) -> str:
    return json.dumps({"spec": {"cidr": f"10.{number}.0.0/16"}})


class Daemon:
    """A syncer's thread and the pools that its mailbox left it with."""

    def __init__(self, server: EtcdServer, run_dir: Path) -> None:
        settings = msgspec.structs.replace(server.settings, timeout_seconds=1.0)
        self.store = EtcdStore.connect(settings)
        self.mailbox: SyncMailbox = SyncMailbox()
        self.pools: dict[str, str] = {}
        self.state = StoreState(in_sync=False, connected=False, frozen=None, revision=0)
        self._stop = threading.Event()
        history = History(str(run_dir), "test")
        syncer = Syncer(self.store, [POOLS], self.mailbox, history, SystemClock())
        self._thread = threading.Thread(target=syncer.run, args=(self._stop,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        self.store.close()
        assert not self._thread.is_alive()

    def take(self) -> None:
        for key, value in self.mailbox.take_all(0.1).items():
            if isinstance(value, StoreState):
                self.state = value
            elif isinstance(key, ResourceKey) and key.kind is Kind.IP_POOL:
                assert isinstance(value, Change)
                self.pools.pop(key.name, None)
                if value.stored is not None:
                    self.pools[key.name] = value.stored.raw.decode()

    def until(self, happened: Callable[[], bool]) -> float:
        started = time.monotonic()
        while time.monotonic() - started < PATIENCE_SECONDS:
            self.take()
            if happened():
                return time.monotonic() - started
        raise AssertionError(f"never happened; {self.state} {list(self.pools)}")

    def watch_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.take()


@pytest.fixture
def server() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        server.put(CLUSTER.path, cluster())
        for number in range(3):
            server.put(f"{POOLS}p{number}", pool(number))
        yield server


@pytest.fixture
def daemon(server: EtcdServer, tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(server, tmp_path) as daemon:
        daemon.until(lambda: daemon.state.may_act and len(daemon.pools) == 3)
        yield daemon


def test_a_crash_and_restart_loses_nothing(server: EtcdServer, daemon: Daemon) -> None:
    server.kill()
    daemon.until(lambda: not daemon.state.connected)
    assert daemon.state.may_act
    assert len(daemon.pools) == 3
    server.start()
    server.put(f"{POOLS}p9", pool(9))
    server.ctl("del", f"{POOLS}p0")
    daemon.until(lambda: daemon.state.connected and set(daemon.pools) == {"p1", "p2", "p9"})


def test_history_compacted_while_cut_off_is_listed_anew(server: EtcdServer, daemon: Daemon) -> None:
    server.pause()
    daemon.until(lambda: not daemon.state.connected)
    server.resume()
    server.kill()
    server.start()
    server.put(f"{POOLS}p1", pool(77))
    server.ctl("del", f"{POOLS}p2")
    server.compact()
    daemon.until(lambda: daemon.state.connected and set(daemon.pools) == {"p0", "p1"})
    assert daemon.pools["p1"] == pool(77)


def test_a_paused_etcd_is_noticed_and_followed_again(server: EtcdServer, daemon: Daemon) -> None:
    server.pause()
    try:
        assert daemon.until(lambda: not daemon.state.connected) < 5
    finally:
        server.resume()
    server.put(f"{POOLS}p9", pool(9))
    daemon.until(lambda: daemon.state.connected and "p9" in daemon.pools)


@pytest.mark.parametrize("keep_cluster_id", [True, False])
def test_a_wiped_etcd_deletes_nothing(
    server: EtcdServer,
    daemon: Daemon,
    keep_cluster_id: bool,  # noqa: FBT001
) -> None:
    server.wipe(keep_cluster_id=keep_cluster_id)
    daemon.until(lambda: daemon.state.frozen is not None)
    daemon.watch_for(2)
    assert len(daemon.pools) == 3
    assert not daemon.state.may_act


def test_a_wiped_and_newly_initialised_etcd_is_another_cluster_until_accepted(
    server: EtcdServer, daemon: Daemon
) -> None:
    server.wipe()
    server.put(CLUSTER.path, cluster("g2"))
    server.put(f"{POOLS}new", pool(5))
    daemon.until(lambda: "g2" in str(daemon.state.frozen))
    daemon.watch_for(2)
    assert set(daemon.pools) == {"p0", "p1", "p2"}
    server.put(ACCEPTED, accept_document("g2", server.revision(), "n1").decode())
    daemon.until(lambda: daemon.state.may_act and set(daemon.pools) == {"new"})
    server.put(f"{POOLS}newer", pool(6))
    daemon.until(lambda: set(daemon.pools) == {"new", "newer"})


def test_an_older_snapshot_deletes_nothing_and_the_newer_thaws(
    server: EtcdServer, daemon: Daemon
) -> None:
    old = server.snapshot()
    server.put(f"{POOLS}p9", pool(9))
    daemon.until(lambda: "p9" in daemon.pools)
    new = server.snapshot()
    server.restore(old)
    daemon.until(lambda: daemon.state.frozen is not None)
    assert "went back" in str(daemon.state.frozen)
    daemon.watch_for(2)
    assert "p9" in daemon.pools
    server.restore(new)
    daemon.until(lambda: daemon.state.may_act and "p9" in daemon.pools)


def test_a_daemon_started_on_an_older_snapshot_remembers(
    server: EtcdServer, tmp_path: Path
) -> None:
    old = server.snapshot()
    server.put(f"{POOLS}p9", pool(9))
    with Daemon(server, tmp_path) as first:
        first.until(lambda: first.state.may_act)
    server.restore(old)
    with Daemon(server, tmp_path) as second:
        second.until(lambda: second.state.frozen is not None)
        second.watch_for(1.5)
        assert second.pools == {}
        assert not second.state.in_sync


def test_five_thousand_changes_arrive(daemon: Daemon) -> None:
    for n in range(200):
        writes = [Put(f"{POOLS}x{n}-{m}", pool(m).encode()) for m in range(25)]
        last = daemon.store.transact(Transaction((), tuple(writes)))
    daemon.until(lambda: len(daemon.pools) == 3 + 5_000)
    daemon.until(lambda: daemon.state.revision == last.revision)
