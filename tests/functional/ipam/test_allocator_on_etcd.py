"""The allocator with its real fence and syncer while etcd stops answering: no outcome stays unknown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from felix_py.datastore.changes import SyncMailbox
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.fence import Fence
from felix_py.datastore.history import History
from felix_py.datastore.model import HandleId, NodeName
from felix_py.datastore.syncer import Syncer
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.errors import FelixPyError
from felix_py.runtime.mailbox import Mailbox
from ipam.allocator import Allocator
from ipam.errors import Frozen
from ipam.requests import AssignRequest, Lease, ReleaseRequest
from ipam.watched import watched_prefixes
from tests.functional.ipam.writers import FEW, initialise
from tests.support.etcd import EtcdServer

A = NodeName("a")
HANDLES = "/calico/ipam/v2/handle/"


@contextmanager
def running(server: EtcdServer, directory: Path) -> Iterator[Allocator]:
    store = EtcdStore.connect(server.settings)
    fence = Fence(store, A, "machine")
    fence.open()
    mailbox: SyncMailbox = Mailbox()
    clock = SystemClock()
    allocator = Allocator(store, fence, A, mailbox, clock)
    syncer = Syncer(store, watched_prefixes(A), mailbox, History(str(directory), "cni"), clock)
    stop = threading.Event()
    threads = [threading.Thread(target=body, args=(stop,)) for body in (syncer.run, allocator.run)]
    for thread in threads:
        thread.start()
    try:
        yield allocator
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
        store.close()


def patiently(allocator: Allocator, handle: str) -> Lease:
    """An ADD as a runtime repeats it while the answer is "try again later"."""
    until = time.monotonic() + 30
    while True:
        try:
            return allocator.assign(AssignRequest(HandleId(handle), {"node": "a"}), 10)
        except FelixPyError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def held(server: EtcdServer) -> list[str]:
    """The handles of all allocations, by etcdctl."""
    blocks = server.dump("/calico/ipam/v2/assignment/").values()
    documents = [json.loads(text) for text in blocks]
    return sorted(
        d["attributes"][i]["handle_id"]
        for d in documents
        for i in d["allocations"]
        if i is not None
    )


@pytest.mark.etcd
def test_what_etcd_was_asked_while_it_did_not_answer_is_settled(tmp_path: Path) -> None:
    with EtcdServer() as server, running(server, tmp_path) as allocator:
        initialise(server, FEW)
        first = patiently(allocator, "h0")
        server.pause()
        resume = threading.Timer(7, server.resume)
        resume.start()
        given: list[str] = []
        try:
            for number in range(1, 4):
                try:
                    allocator.assign(AssignRequest(HandleId(f"h{number}"), {}), 1)
                    given.append(f"h{number}")
                except FelixPyError:
                    continue
        finally:
            resume.join()
        assert patiently(allocator, "h0").addresses == first.addresses
        assert held(server) == ["h0", *given]
        for handle in held(server):
            allocator.release(ReleaseRequest(HandleId(handle)), 10)
        assert server.dump(HANDLES) == {}
        assert held(server) == []


@pytest.mark.etcd
def test_a_wiped_store_freezes_the_allocator(tmp_path: Path) -> None:
    with EtcdServer() as server, running(server, tmp_path) as allocator:
        initialise(server, FEW)
        patiently(allocator, "h0")
        server.wipe()
        initialise(server, FEW)
        until = time.monotonic() + 20
        reason: str | None = None
        while reason is None and time.monotonic() < until:
            try:
                allocator.assign(AssignRequest(HandleId("h1"), {}), 5)
            except Frozen as frozen:
                reason = str(frozen)
            except FelixPyError:
                time.sleep(0.1)
            else:
                pytest.fail("an address was given out of a store that went back")
        assert reason is not None
        assert server.dump(HANDLES) == {}
