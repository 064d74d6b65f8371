"""A syncer's thread and a reader of its mailbox, for its stories."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from felix_py.datastore.changes import STORE_STATE, Change, StoreState, SyncMailbox
from felix_py.datastore.history import History
from felix_py.datastore.keys import IPAM, RESOURCES, Key, ResourceKey
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import Kind
from felix_py.datastore.refill import Refill
from felix_py.datastore.syncer import Syncer
from felix_py.runtime.clock import SystemClock

PATIENCE_SECONDS = 10.0
PREFIXES = (f"{RESOURCES}ippools/", IPAM)


def cluster(guid: str = "g1", *, ready: bool = True) -> bytes:
    return json.dumps({"spec": {"clusterGUID": guid, "datastoreReady": ready}}).encode()


def pool(name: str) -> ResourceKey:
    return ResourceKey(Kind.IP_POOL, name)


def pool_text(cidr: str) -> bytes:
    return json.dumps({"spec": {"cidr": cidr}}).encode()


class Daemon:
    """A syncer's thread and what its mailbox said so far."""

    def __init__(self, store: MemoryStore, run_dir: Path, *, refill: Refill | None = None) -> None:
        self.mailbox: SyncMailbox = SyncMailbox()
        self.values: dict[Key, Change] = {}
        self.states: list[StoreState] = []
        self.changes = 0
        self._stop = threading.Event()
        history = History(str(run_dir), "test")
        self.syncer = Syncer(
            store,
            PREFIXES,
            self.mailbox,
            history,
            SystemClock(),
            refill=refill,
        )
        self._thread = threading.Thread(target=self.syncer.run, args=(self._stop,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    @property
    def state(self) -> StoreState:
        return self.states[-1]

    def take(self) -> None:
        for key, value in self.mailbox.take_all(0.05).items():
            if isinstance(value, StoreState):
                assert key is STORE_STATE
                self.states.append(value)
            else:
                assert isinstance(value, Change)
                self.values[key] = value  # type: ignore[index]
                self.changes += 1

    def until(self, happened: Callable[[Daemon], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.take()
            if self.states and happened(self):
                return
        raise AssertionError(f"never happened; {self.states[-3:]} {list(self.values)}")

    def holds(self, key: Key) -> bool:
        change = self.values.get(key)
        return change is not None and change.stored is not None

    def settle(self, seconds: float = 0.4) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.take()
