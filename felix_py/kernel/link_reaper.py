"""Deleting links together, and answering when they are gone: not when the kernel has tidied up.

Deleting one veth takes the kernel 20 ms. After 0.3 ms of it the link is closed, its routes are gone and
nobody can find it any more; the rest is waiting for RCU until its memory may be freed (measured, and in
Linux's unregister_netdevice_many and netdev_run_todo). 80 of one group take 30 ms in all, groups side by
side hardly longer. So links to delete are put into a group of their own, which a thread of its own
deletes as one, and whoever asked waits until the links cannot be found.
"""

from __future__ import annotations

import errno
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_batch import delete_group, delete_link, set_link
from felix_py.kernel.netlink_wire import NetlinkSocket

MAX_WAIT_SECONDS = 30.0
"""A thread waits so long for its links to be gone, then it is refused."""
ROUNDS_AT_ONCE = 4
"""Requests under way at a time; links that come while there are so many wait for the next one."""
FIRST_LOOK_SECONDS, LOOK_SECONDS = 0.0002, 0.002
"""How soon, and then at most how seldom, a thread looks whether its links are gone."""
FIRST_GROUP, GROUPS = 0x40000000, 0x3FFFFFFF
"""Groups are drawn at random from here: nobody names such numbers by hand."""


class _Round:
    """The links of one request, and how it ended."""

    def __init__(self) -> None:
        self.indexes: set[int] = set()
        self.ended = threading.Event()
        self.errors: dict[int, KernelRefused] = {}


class LinkReaper:
    """Whoever comes while a request may begin has his own; who comes later joins the next one."""

    def __init__(
        self,
        borrowed: Callable[[], AbstractContextManager[NetlinkSocket]],
        is_there: Callable[[int], bool],
    ) -> None:
        """is_there: whether a link of this index can be found; asked every few hundred microseconds."""
        self._borrowed = borrowed
        self._is_there = is_there
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(ROUNDS_AT_ONCE)
        self._next: _Round | None = None

    @property
    def gathered(self) -> int:
        """How many links wait for the next request."""
        with self._lock:
            return len(self._next.indexes) if self._next is not None else 0

    def delete(self, indexes: Sequence[int]) -> None:
        """Delete these links; absent is fine. Raises KernelRefused."""
        if not indexes:
            return
        until = time.monotonic() + MAX_WAIT_SECONDS
        with self._lock:
            leads = self._next is None
            joined = self._next = self._next or _Round()
            joined.indexes.update(indexes)
        if leads:
            self._lead(joined, until)
        self._wait(joined, indexes, until)

    def _lead(self, led: _Round, until: float) -> None:
        """Wait for a turn, close this round for others, have what gathered deleted."""
        has_turn = self._turns.acquire(timeout=max(until - time.monotonic(), 0))
        with self._lock:
            self._next = None
        led.errors = dict.fromkeys(led.indexes, KernelRefused("delete links", errno.ETIMEDOUT))
        if has_turn:
            threading.Thread(target=self._carry_out, args=(led,), daemon=True).start()
        else:
            led.ended.set()

    def _carry_out(self, led: _Round) -> None:
        """A thread's body; it ends with the request, which the kernel answers in any case."""
        led.errors = dict.fromkeys(led.indexes, KernelRefused("delete links", errno.EIO))
        try:
            with self._borrowed() as opened:
                led.errors = _delete(opened, sorted(led.indexes))
        finally:
            self._turns.release()
            led.ended.set()

    def _wait(self, joined: _Round, indexes: Sequence[int], until: float) -> None:
        """Until the links are gone or the request has ended; what it said of those that are not."""
        pause = FIRST_LOOK_SECONDS
        while not joined.ended.wait(pause):
            if not any(map(self._is_there, indexes)):
                return
            if time.monotonic() > until:
                raise KernelRefused("delete links", errno.ETIMEDOUT)
            pause = min(2 * pause, LOOK_SECONDS)
        for index in indexes:
            if index in joined.errors:
                raise joined.errors[index]


def _delete(opened: NetlinkSocket, indexes: Sequence[int]) -> dict[int, KernelRefused]:
    """One request for one link, a group for several; one by one where grouping is refused."""
    if len(indexes) > 1:
        indexes = _delete_together(opened, indexes)
    answers = opened.request([delete_link(index) for index in indexes])
    return {
        index: KernelRefused(f"delete link {index}", refusal.errno, refusal.why)
        for index, refusal in zip(indexes, answers, strict=True)
        if refusal is not None and refusal.errno != errno.ENODEV
    }


def _delete_together(opened: NetlinkSocket, indexes: Sequence[int]) -> list[int]:
    """Delete as a group; what is left to be deleted one by one."""
    group = FIRST_GROUP + secrets.randbelow(GROUPS)
    marked = opened.request([set_link(index, group=group) for index in indexes])
    [refused] = opened.request([delete_group(group)])
    if refused is not None:
        return list(indexes)
    return [index for index, refusal in zip(indexes, marked, strict=True) if refusal is not None]
