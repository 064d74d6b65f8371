"""A bounded FIFO for what must keep its order, such as a BGP session's down, up and End-of-RIB."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Stream(Generic[T]):
    """A bounded FIFO. At the bound the whole content is dropped and `lost` says so once.

    The reader that sees `lost` must resynchronise with the source; half a history is worse than
    none, because an End-of-RIB without the routes before it would withdraw them.
    """

    def __init__(self, max_items: int) -> None:
        self._items: deque[T] = deque()
        self._max_items = max_items
        self._lost = False
        self._ready = threading.Condition()

    def put(self, item: T) -> None:
        """Append; at the bound drop everything and mark the stream as lost."""
        with self._ready:
            if len(self._items) >= self._max_items:
                self._items.clear()
                self._lost = True
            self._items.append(item)
            self._ready.notify_all()

    def take_all(self, timeout_seconds: float) -> tuple[list[T], bool]:
        """(items in order, lost): waits at most so long for the first item."""
        with self._ready:
            self._ready.wait_for(lambda: self._items or self._lost, timeout_seconds)
            items, lost = list(self._items), self._lost
            self._items.clear()
            self._lost = False
            return items, lost
