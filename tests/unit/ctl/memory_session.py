"""A felixctl session on a store in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from felix_py.ctl.connection import Session
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.store import Put, Store, Transaction

RESOURCES = "/calico/resources/v3/projectcalico.org/"


class MemorySession(Session):
    """What verbs get instead of a connection to etcd."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"))
        self.memory = MemoryStore()

    @contextmanager
    def store(self) -> Iterator[Store]:
        yield self.memory

    def node_name(self) -> str:
        return "worker-1"

    def put(self, path: str, value: bytes) -> None:
        self.memory.transact(Transaction((), (Put(path, value),)))

    def stored(self, path: str) -> dict[str, Any]:
        found = self.memory.get(path if path.startswith("/") else RESOURCES + path)
        assert found is not None, path
        loaded = json.loads(found.value)
        assert isinstance(loaded, dict)
        return loaded
