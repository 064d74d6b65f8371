"""Latest value per key: how reader threads hand facts to the thread that owns the state."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Mailbox(Generic[K, V]):
    """Latest value per key, in the order in which keys became dirty.

    Memory is bounded by the number of keys, however slow the reader is. A key that is put again
    before it was taken keeps its place in the order and only changes its value.
    """

    def __init__(self) -> None:
        self._latest: dict[K, V] = {}
        self._ready = threading.Condition()
        self._woken = False

    def put(self, key: K, value: V) -> None:
        """Remember this value for this key and wake the reader."""
        with self._ready:
            self._latest[key] = value
            self._ready.notify_all()

    def wake(self) -> None:
        """Make a waiting (or the next) take_all return at once, with what there is."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()

    def take_all(self, timeout_seconds: float) -> dict[K, V]:
        """Everything put since the last call; waits at most so long for the first of it."""
        with self._ready:
            self._ready.wait_for(lambda: self._latest or self._woken, timeout_seconds)
            self._woken = False
            taken, self._latest = self._latest, {}
            return taken
