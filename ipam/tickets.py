"""Requests waiting for the allocator's thread, each with its deadline and one answer."""

from __future__ import annotations

import threading
from collections import deque

from ipam.errors import GaveUp
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest

MAX_WAITING = 4096
"""Requests that may wait at once; one more is refused with GaveUp ("try again later")."""

GATHER_SECONDS = 0.001
"""Callers that were answered together ask again one after the other, each as Python lets it run:
without a moment's patience the first alone would fill a transaction."""

Answer = Lease | Released | Exception


class Ticket:
    """One caller's request. Either the caller gets the answer or the thread learns that nobody
    waits for it any more; never both, never neither."""

    def __init__(self, request: AssignRequest | ReleaseRequest, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self.attempts = 0
        self._answer: Answer | None = None
        self._abandoned = False
        self._ready = threading.Condition()

    def wait(self, timeout_seconds: float) -> Lease | Released:
        """The answer; raises the error it is, or GaveUp when the time is over."""
        with self._ready:
            self._ready.wait_for(lambda: self._answer is not None, timeout_seconds)
            if self._answer is None:
                self._abandoned = True
                raise GaveUp(
                    f"no decision on {self.request.handle_id} within {timeout_seconds:g} s;"
                    " whatever it still assigns is given back; try again later"
                )
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer

    def answer(self, answer: Answer) -> bool:
        """Hand the answer over; False: the caller has gone, undo what was done for it."""
        with self._ready:
            self._answer = answer
            self._ready.notify_all()
            return not self._abandoned

    @property
    def abandoned(self) -> bool:
        """True when nobody waits any more."""
        with self._ready:
            return self._abandoned


class Inbox:
    """Tickets in the order in which they came, from any thread to one."""

    def __init__(self) -> None:
        self._tickets: deque[Ticket] = deque()
        self._lock = threading.Condition()
        self._closed: Exception | None = None
        self._usual = 0

    def put(self, ticket: Ticket) -> None:
        """Append. Raises GaveUp at the bound, or why the inbox is closed."""
        with self._lock:
            if self._closed is not None:
                raise self._closed
            if len(self._tickets) >= MAX_WAITING:
                raise GaveUp(f"{MAX_WAITING} requests wait already; try again later")
            self._tickets.append(ticket)
            self._lock.notify()

    def take_all(self) -> list[Ticket]:
        """Everything that came since. When something did, but less than the last time, the others are
        given GATHER_SECONDS to come, too."""
        with self._lock:
            if self._tickets:
                self._lock.wait_for(lambda: len(self._tickets) >= self._usual, GATHER_SECONDS)
            taken = list(self._tickets)
            self._tickets.clear()
            self._usual = len(taken) or self._usual
            return taken

    def close(self, why: Exception) -> list[Ticket]:
        """Refuse from now on; what waited."""
        with self._lock:
            self._closed = why
            taken = list(self._tickets)
            self._tickets.clear()
            return taken
