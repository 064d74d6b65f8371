"""Deleting links together: threads that delete at the same time share one request.

Deleting one veth takes the kernel 20 ms, most of it waiting for RCU; 80 of one group take 30 ms
in all (measured). So links to delete are put into a group of their own, which is deleted as one.
"""

from __future__ import annotations

import errno
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_batch import delete_group, delete_link, set_link
from felix_py.kernel.netlink_wire import NetlinkSocket

MAX_WAIT_SECONDS = 30.0
"""A thread waits so long for another's request that carries its links, then it is refused."""
FIRST_GROUP, GROUPS = 0x40000000, 0x3FFFFFFF
"""Groups are drawn at random from here: nobody names such numbers by hand."""


class _Round:
    """The links of one request, and how it ended."""

    def __init__(self) -> None:
        self.indexes: set[int] = set()
        self.ended = threading.Event()
        self.errors: dict[int, KernelRefused] = {}


class LinkReaper:
    """Whoever comes while nobody deletes does it at once; who comes meanwhile joins the next round."""

    def __init__(self, borrowed: Callable[[], AbstractContextManager[NetlinkSocket]]) -> None:
        self._borrowed = borrowed
        self._lock = threading.Lock()
        self._busy = threading.Lock()
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
        with self._lock:
            leads = self._next is None
            joined = self._next = self._next or _Round()
            joined.indexes.update(indexes)
        if leads:
            self._lead(joined)
        elif not joined.ended.wait(MAX_WAIT_SECONDS):
            raise KernelRefused("delete links", errno.ETIMEDOUT)
        for index in indexes:
            if index in joined.errors:
                raise joined.errors[index]

    def _lead(self, led: _Round) -> None:
        """Wait for the round before, close this one for others, delete what gathered."""
        with self._busy:
            with self._lock:
                self._next = None
            lost = KernelRefused("delete links", errno.EIO)
            led.errors = dict.fromkeys(led.indexes, lost)
            try:
                with self._borrowed() as opened:
                    led.errors = _delete(opened, sorted(led.indexes))
            finally:
                led.ended.set()


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
