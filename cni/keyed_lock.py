"""One lock per key, held for several keys at once, gone when nobody uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cni.errors import TryAgain


class KeyedLock:
    """Requests of one container, or for one link's name, wait for one another; others do not.

    Memory is bounded by the number of threads that hold or wait.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, *keys: str) -> Iterator[None]:
        """Hold all keys, taken in sorted order so that two holders cannot wait for each other.

        Raises TryAgain when another request holds one for longer than the bound.
        """
        with ExitStack() as held:
            for key in sorted(set(keys)):
                lock = self._enter(key)
                held.callback(self._leave, key)
                if not lock.acquire(timeout=self._timeout_seconds):
                    raise TryAgain(f"{key}: another request for it is still being worked on")
                held.callback(lock.release)
            yield

    def _enter(self, key: str) -> threading.Lock:
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
            return lock

    def _leave(self, key: str) -> None:
        with self._guard:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
