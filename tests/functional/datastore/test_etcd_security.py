"""TLS, users and settings of the adapter on a real etcd."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest

from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Put, Transaction, Watch
from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.etcd

PATIENCE_SECONDS = 20.0


def put(store: EtcdStore, key: str, value: bytes = b"v") -> int:
    return store.transact(Transaction((), (Put(key, value),))).revision


def until_error(watch: Watch) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        watch.next(0.5)


def changed(settings: DatastoreSettings, **changes: object) -> DatastoreSettings:
    return msgspec.structs.replace(settings, **changes)


@pytest.fixture(scope="module")
def guarded() -> Iterator[EtcdServer]:
    with EtcdServer(tls=True, auth=True) as server:
        yield server


def test_tls_and_password_open_what_the_role_allows(guarded: EtcdServer) -> None:
    store = EtcdStore.connect(guarded.settings)
    at = put(store, "/calico/a")
    watch = store.watch(["/calico/", "/felix-py/"], at)
    put(store, "/felix-py/a")
    batch = watch.next(PATIENCE_SECONDS)
    assert batch is not None
    with pytest.raises(StoreRefused):
        store.get("/secret")
    with pytest.raises(StoreRefused):
        put(store, "/secret")
    forbidden = store.watch(["/secret/"], at)
    with pytest.raises(StoreRefused):
        until_error(forbidden)
    store.close()


def test_a_token_that_died_with_etcds_restart_is_renewed(guarded: EtcdServer) -> None:
    store = EtcdStore.connect(guarded.settings)
    put(store, "/calico/a", b"1")
    guarded.restart()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            held = store.get("/calico/a")
            break
        except StoreAway:
            time.sleep(0.05)
    assert held is not None
    at = put(store, "/calico/a", b"2")
    guarded.restart()
    watch = None
    while watch is None and time.monotonic() < deadline:
        try:
            watch = store.watch(["/calico/"], at - 1)
            assert watch.next(PATIENCE_SECONDS)
        except StoreAway:
            watch = None
            time.sleep(0.05)
    assert watch is not None
    store.close()


def test_a_wrong_password_and_a_stranger_without_certificate_are_turned_away(
    guarded: EtcdServer,
) -> None:
    wrong = guarded.directory / "wrong"
    wrong.write_text("no\n", "ascii")
    store = EtcdStore.connect(changed(guarded.settings, password_file=str(wrong)))
    with pytest.raises(StoreRefused):
        store.get("/calico/a")
    with pytest.raises(StoreRefused):
        store.watch(["/calico/"], 0)
    store.close()
    settings = changed(guarded.settings, cert_file="", key_file="", timeout_seconds=2.0)
    store = EtcdStore.connect(settings)
    with pytest.raises(StoreAway):
        store.get("/calico/a")
    store.close()


def test_a_user_is_not_needed_where_etcd_asks_for_none(etcd: EtcdServer) -> None:
    password = etcd.directory / "pw"
    password.write_text("x\n", "ascii")
    settings = changed(etcd.settings, username="felix", password_file=str(password))
    store = EtcdStore.connect(settings)
    assert store.get("/calico/a") is None
    store.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoints": []},
        {"endpoints": ["127.0.0.1:2379"]},
        {"endpoints": ["http://a:1", "https://b:1"]},
        {"cert_file": "/x"},
        {"username": "felix"},
        {"endpoints": ["https://a:1"], "ca_cert_file": "/does/not/exist"},
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(StoreRefused, match="datastore"):
        EtcdStore.connect(changed(DatastoreSettings(), **changes))
