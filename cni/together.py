"""Work that costs the same for one as for many: whoever meets shares one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Order(Generic[T]):
    items: Sequence[T]
    done: bool = False
    error: BaseException | None = None


@dataclass(slots=True)
class Together(Generic[T]):
    """Callers that come while a call is under way wait, and the next call takes all of them.

    Bounded by the number of calling threads. An error of the shared call is every caller's.
    """

    work: Callable[[Sequence[T]], None]
    _waiting: list[_Order[T]] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def do(self, items: Sequence[T]) -> None:
        """Done for these items when this returns. Raises what the work raises."""
        mine = _Order(items)
        with self._guard:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                self._work_for_all()
        if mine.error is not None:
            raise mine.error

    def _work_for_all(self) -> None:
        with self._guard:
            orders, self._waiting = self._waiting, []
        error: BaseException | None = None
        try:
            self.work([item for order in orders for item in order.items])
        except BaseException as caught:
            error = caught
            raise
        finally:
            for order in orders:
                order.done, order.error = True, error
