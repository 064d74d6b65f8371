"""One bell for everything the BGP agent waits for: etcd's changes, ExaBGP's events, kernel hints."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import TypeVar

from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.stream import Stream

MAX_EVENTS = 500_000
"""Events of ExaBGP not yet looked at; beyond that everything is asked for again."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


class Bell:
    """Rung by reader threads, waited for by the one loop."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Something is to be looked at."""
        self._rung.set()

    def wait(self, timeout_seconds: float) -> None:
        """Until it rings, at most so long."""
        self._rung.wait(timeout_seconds)
        self._rung.clear()


class RingingMailbox(Mailbox[K, V]):
    """A mailbox that rings when something is put."""

    def __init__(self, bell: Bell) -> None:
        super().__init__()
        self._bell = bell

    def put(self, key: K, value: V) -> None:
        """As Mailbox.put."""
        super().put(key, value)
        self._bell.ring()


class RingingStream(Stream[T]):
    """A stream that rings when something is put."""

    def __init__(self, bell: Bell, max_items: int) -> None:
        super().__init__(max_items)
        self._bell = bell

    def put(self, item: T) -> None:
        """As Stream.put."""
        super().put(item)
        self._bell.ring()
