"""A transaction that got no answer from a real etcd and is carried out later."""

from __future__ import annotations

import time

import msgspec
import pytest

from felix_py.datastore.errors import StoreAway
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.fence import Fence
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import Put
from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.etcd

MACHINE = "a" * 32
PATIENCE_SECONDS = 30.0


def settled(fence: Fence) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return fence.settle()
        except StoreAway:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("round_number", range(3))
def test_what_a_paused_etcd_was_sent_is_told_truly(round_number: int) -> None:
    """SIGSTOP: the request waits in the socket and is carried out on SIGCONT, or cancelled first."""
    with EtcdServer() as server:
        settings = msgspec.structs.replace(server.settings, timeout_seconds=0.3)
        store = EtcdStore.connect(settings)
        fence = Fence(store, NodeName("w"), MACHINE)
        fence.open()
        for number in range(5):
            key = f"/calico/{number}"
            server.pause()
            with pytest.raises(StoreAway):
                fence.commit((), (Put(key, b"v"),))
            assert fence.unsettled
            server.resume()
            truth = settled(fence)
            time.sleep(0.2)
            assert (key in server.dump("/calico/")) is truth
            assert fence.commit((), (Put("/felix-py/next", b"v"),)).succeeded
        store.close()


def test_a_crash_in_the_middle_is_told_truly() -> None:
    with EtcdServer() as server:
        settings = msgspec.structs.replace(server.settings, timeout_seconds=0.3)
        store = EtcdStore.connect(settings)
        fence = Fence(store, NodeName("w"), MACHINE)
        fence.open()
        server.pause()
        with pytest.raises(StoreAway):
            fence.commit((), (Put("/calico/x", b"v"),))
        server.restart()
        truth = settled(fence)
        assert ("/calico/x" in server.dump("/calico/")) is truth
        store.close()
