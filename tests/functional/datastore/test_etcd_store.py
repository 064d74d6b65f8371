"""The adapter on a real etcd, where etcd is restarted, paused, full, forbidding or many."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from felix_py.datastore import etcd_protobuf
from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Delete, ModRevisionIs, Put, Transaction, Watch
from tests.support.etcd import EtcdServer
from tests.support.one_address import OneAddress

pytestmark = pytest.mark.etcd

PATIENCE_SECONDS = 20.0


@pytest.fixture
def store(etcd: EtcdServer) -> Iterator[EtcdStore]:
    store = EtcdStore.connect(etcd.settings)
    yield store
    store.close()


def put(store: EtcdStore, key: str, value: bytes = b"v") -> int:
    return store.transact(Transaction((), (Put(key, value),))).revision


def until_error(watch: Watch) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        watch.next(0.5)


def fill(store: EtcdStore) -> None:
    """Twenty megabytes: etcd learns its own size when it writes to disk, every 100 ms."""
    for number in range(2000):
        put(store, f"/calico/{number}", b"x" * 10_000)


def changed(settings: DatastoreSettings, **changes: object) -> DatastoreSettings:
    return msgspec.structs.replace(settings, **changes)


def test_etcd3_runs_on_protobufs_c_core() -> None:
    assert etcd_protobuf.ON_C_CORE
    message = etcd_protobuf.rpc.RangeRequest(key=b"k")
    assert "upb" in type(type(message)).__module__


def test_a_protobuf_that_cannot_be_bootstrapped_falls_back_to_the_python_core() -> None:
    program = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'etcd3' else real(name, *rest)\n"
        "from felix_py.datastore import etcd_protobuf as e\n"
        "assert not e.ON_C_CORE\n"
        "assert e.rpc.RangeRequest(key=b'k').key == b'k'\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


def test_etcdctl_sees_what_we_write(etcd: EtcdServer, store: EtcdStore) -> None:
    store.transact(Transaction((), (Put("/calico/ü", b'{"a":1}'), Put("/calico/b", b""))))
    assert etcd.dump("/calico/") == {"/calico/ü": '{"a":1}', "/calico/b": ""}
    store.transact(Transaction((ModRevisionIs("/calico/none", 0),), (Delete("/calico/b"),)))
    assert etcd.dump("/calico/") == {"/calico/ü": '{"a":1}'}


def test_keys_that_are_not_text_are_passed_over(etcd: EtcdServer, store: EtcdStore) -> None:
    at = put(store, "/calico/a")
    watch = store.watch(["/calico/"], at)
    subprocess.run(
        ["etcdctl", "--endpoints", etcd.endpoint, "put", b"/calico/\xff", "v"],
        check=True,
        capture_output=True,
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"},
        timeout=20,
    )
    later = threading.Timer(0.5, put, (store, "/calico/z"))
    later.start()
    batch = watch.next(PATIENCE_SECONDS)  # not woken by a message that tells nothing
    later.join()
    assert [item.key for item in store.list("/calico/").items] == ["/calico/a", "/calico/z"]
    assert batch is not None
    assert [event.key for event in batch.events] == ["/calico/z"]
    watch.close()


def test_a_listing_of_many_pages_is_of_one_revision(store: EtcdStore) -> None:
    value = b"x" * 2_500
    for start in range(0, 2_300, 100):
        writes = tuple(Put(f"/calico/big/{n:05}", value) for n in range(start, start + 100))
        store.transact(Transaction((), writes))
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            put(store, "/calico/big/99999")
            store.transact(Transaction((), (Delete("/calico/big/99999"),)))

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        listing = store.list("/calico/big/")
    finally:
        stop.set()
        disturber.join()
    assert sum(len(item.value) for item in listing.items) > 4 * 1024 * 1024
    steady = [item.key for item in listing.items if not item.key.endswith("99999")]
    assert steady == [f"/calico/big/{n:05}" for n in range(2_300)]
    assert all(item.mod_revision <= listing.revision for item in listing.items)


def test_one_reply_over_four_megabytes_arrives(store: EtcdStore) -> None:
    for number in range(6):
        put(store, f"/calico/huge/{number}", b"x" * 1_000_000)
    assert len(store.list("/calico/huge/").items) == 6
    watch = store.watch(["/calico/huge/"], store.list("/calico/huge/").items[0].mod_revision - 1)
    seen = 0
    while seen < 6:
        batch = watch.next(PATIENCE_SECONDS)
        assert batch is not None
        seen += len(batch.events)
    watch.close()


def test_a_transaction_costs_well_under_a_millisecond_of_cpu(store: EtcdStore) -> None:
    put(store, "/calico/warm")
    started = time.process_time()
    for number in range(200):
        store.transact(
            Transaction(
                (ModRevisionIs("/calico/none", 0), ModRevisionIs("/calico/more", 0)),
                (Put("/calico/a", b"x" * 600), Put("/calico/b", b"%d" % number)),
                ("/calico/a",),
            )
        )
    assert (time.process_time() - started) / 200 < 0.002


def test_closing_leaves_no_threads_behind(etcd: EtcdServer) -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        store = EtcdStore.connect(etcd.settings)
        at = put(store, "/calico/a")
        watches = [store.watch(["/calico/", "/felix-py/"], at) for _ in range(2)]
        put(store, "/calico/a")
        assert watches[0].next(PATIENCE_SECONDS)
        store.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(threading.enumerate()) - before == set()


def test_an_absent_etcd_is_away_at_once_and_in_time() -> None:
    settings = DatastoreSettings(endpoints=["http://127.0.0.1:1"], timeout_seconds=1.0)
    store = EtcdStore.connect(settings)
    started = time.monotonic()
    with pytest.raises(StoreAway):
        store.get("/calico/a")
    with pytest.raises(StoreAway):
        store.transact(Transaction((), ()))
    watch = store.watch(["/calico/"], 0)
    with pytest.raises(StoreAway):
        until_error(watch)
    assert time.monotonic() - started < 10
    store.close()


def test_a_killed_etcd_ends_the_watch_and_is_found_again() -> None:
    with EtcdServer() as server:
        store = EtcdStore.connect(changed(server.settings, timeout_seconds=1.0))
        watch = store.watch(["/calico/"], put(store, "/calico/a", b"kept"))
        server.kill()
        with pytest.raises(StoreAway):
            until_error(watch)
        with pytest.raises(StoreAway):
            store.get("/calico/a")
        server.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        held = None
        while held is None and time.monotonic() < deadline:
            try:
                held = store.get("/calico/a")
            except StoreAway:
                time.sleep(0.05)
        assert held is not None
        assert held.value == b"kept"
        store.close()


def test_a_paused_etcd_costs_no_more_than_the_time_allowed() -> None:
    with EtcdServer() as server:
        store = EtcdStore.connect(changed(server.settings, timeout_seconds=0.5))
        put(store, "/calico/a")
        server.pause()
        try:
            started = time.monotonic()
            with pytest.raises(StoreAway):
                store.get("/calico/a")
            with pytest.raises(StoreAway):
                store.transact(Transaction((), (Put("/calico/a", b"2"),)))
            assert time.monotonic() - started < 3
        finally:
            server.resume()
        store.close()


def test_reads_fail_over_to_a_member_that_answers() -> None:
    with EtcdServer() as server:
        dead, alive = "http://127.0.0.1:1", server.endpoint
        settings = changed(server.settings, endpoints=[dead, alive], timeout_seconds=4.0)
        store = EtcdStore.connect(settings)
        assert store.get("/calico/a") is None
        put(store, "/calico/a")
        store.close()
        store = EtcdStore.connect(settings)
        with pytest.raises(StoreAway):
            store.transact(Transaction((), (Put("/calico/a", b"unknown outcome"),)))
        put(store, "/calico/a", b"second try, other member")
        store.close()
        store = EtcdStore.connect(settings)
        watch = store.watch(["/calico/"], 0)
        with pytest.raises(StoreAway):
            until_error(watch)
        watch = store.watch(["/calico/"], 0)
        assert watch.next(PATIENCE_SECONDS)
        store.close()


def test_a_full_etcd_refuses_writes_and_still_reads() -> None:
    with EtcdServer(arguments=("--quota-backend-bytes", "400000")) as server:
        store = EtcdStore.connect(server.settings)
        with pytest.raises(StoreRefused, match="space exceeded"):
            fill(store)
        assert store.get("/calico/0") is not None
        store.close()


def test_a_connection_that_hangs_is_given_up_for_another_to_the_same_address() -> None:
    """A Service's address leads to another member then; gRPC alone would take up to 35 s."""
    with EtcdServer() as server, OneAddress(server.client_port) as service:
        endpoint = f"http://127.0.0.1:{service.port}"
        store = EtcdStore.connect(DatastoreSettings(endpoints=[endpoint], timeout_seconds=1.0))
        try:
            watch = store.watch(["/x"], put(store, "/x"))
            service.hang()
            with pytest.raises(StoreAway):
                store.get("/x")
            assert store.get("/x") is not None, "the next call has a connection of its own"
            assert service.accepted == 2
            with pytest.raises(StoreAway):
                until_error(watch)
        finally:
            store.close()
