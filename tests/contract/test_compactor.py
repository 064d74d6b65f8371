"""One node per period forgets history, and never more than what is older than a period."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from felix_py.datastore.compactor import Compactor
from felix_py.datastore.errors import RevisionCompacted
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.keys import COMPACTED
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.store import Put, Store, Transaction
from tests.support.etcd import EtcdServer


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        memory = MemoryStore()
        yield memory
        memory.close()
        return
    with EtcdServer() as server:
        real = EtcdStore.connect(server.settings)
        yield real
        real.close()


def compactor(store: Store, *, may_act: bool = True) -> Compactor:
    return Compactor(store, 600, lambda: may_act)


def write(store: Store, times: int = 3) -> int:
    return [
        store.transact(Transaction((), (Put("/calico/x", b"v"),))).revision for _ in range(times)
    ][-1]


def test_history_older_than_a_period_is_forgotten_and_younger_is_kept(store: Store) -> None:
    node = compactor(store)
    old = write(store)
    assert [node.step(), node.step()] == [0, 0]  # the first look, the first note
    young = write(store)
    compacted = node.step()
    assert old <= compacted < young
    with pytest.raises(RevisionCompacted):
        store.list("/calico/", revision=old - 1)
    assert store.list("/calico/", revision=young - 1).items


def test_of_many_nodes_one_compacts_in_each_period(store: Store) -> None:
    nodes = [compactor(store) for _ in range(5)]
    for _ in range(2):
        for node in nodes:
            node.step()
    for _ in range(4):
        write(store)
        assert sum(bool(node.step()) for node in nodes) <= 1
    assert sum(bool(node.step()) for _ in range(3) for node in nodes) >= 1


def test_a_node_that_may_not_act_writes_nothing(store: Store) -> None:
    node = compactor(store, may_act=False)
    assert [node.step() for _ in range(3)] == [0, 0, 0]
    assert store.get(COMPACTED) is None


@pytest.mark.parametrize("text", [b"", b"-5", b"soon", b"9" * 40])
def test_a_note_that_is_no_revision_is_written_anew(store: Store, text: bytes) -> None:
    store.transact(Transaction((), (Put(COMPACTED, text),)))
    node = compactor(store)
    assert [node.step(), node.step()] == [0, 0]
    write(store)
    assert node.step() > 0


def test_forgetting_twice_is_fine(store: Store) -> None:
    revision = write(store)
    store.compact(revision)
    store.compact(revision - 1)
    assert store.list("/calico/").items


def test_without_a_period_it_waits_for_the_end() -> None:
    memory = MemoryStore()
    stop = threading.Event()
    thread = threading.Thread(target=Compactor(memory, 0, lambda: True).run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert memory.get(COMPACTED) is None
    memory.close()
