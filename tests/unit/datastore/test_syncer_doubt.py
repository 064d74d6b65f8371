"""A store that went back is in doubt until something proves it: a value that it shows anyway does not."""

from __future__ import annotations

from pathlib import Path

from felix_py.datastore.identity import ACCEPTED, accept_document
from felix_py.datastore.memory_store import MemoryStore
from tests.unit.datastore.syncer_daemon import Daemon
from tests.unit.datastore.test_syncer import hurry, store

__all__ = ["hurry", "store"]


def test_who_saw_nothing_new_stays_frozen_when_the_store_grows_past_him(
    store: MemoryStore, tmp_path: Path
) -> None:
    """All that this daemon ever saw is in the snapshot, too: others lost what he does not know of."""
    old = store.snapshot()
    for _ in range(5):
        store.put("/elsewhere", b"")
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.may_act and d.state.revision == store.revision)
        store.restore(old)
        daemon.until(lambda d: d.state.frozen is not None)
        for _ in range(20):
            store.put("/elsewhere", b"")
        said = "nothing was seen here that could tell it"
        daemon.until(lambda d: said in str(d.state.frozen))
    with Daemon(store, tmp_path) as daemon:
        daemon.until(lambda d: d.state.frozen is not None)
        daemon.settle()
        assert not daemon.state.may_act
        store.put(ACCEPTED, accept_document("g1", store.revision, "n1"))
        daemon.until(lambda d: d.state.may_act)
