"""Becoming this node's one writer, then owning its blocks: the body of the allocator's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from felix_py.datastore.fence import Fence
from felix_py.runtime.errors import StaleError, TransientError
from felix_py.runtime.schedule import Backoff

log = structlog.get_logger(__name__)

FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 5.0
TRUST_POLL_SECONDS = 0.05
"""How often it is looked whether the store is trusted by now."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Opens the fence as soon as etcd lets it, then runs the allocator.

    A store that is not trusted (frozen, or not read yet) is not written to: it is waited for. DELs are
    served meanwhile (they stay pending). Another machine's session key ends the daemon:
    NotTheWriter passes through to the supervisor.
    """

    fence: Fence
    takeover: bool
    run_allocator: Callable[[threading.Event], None]
    report: Callable[[str | None], None]
    may_open: Callable[[], bool] = lambda: True

    def run(self, stop: threading.Event) -> None:
        """Until asked to stop."""
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        while not stop.is_set():
            if not self.may_open():
                stop.wait(TRUST_POLL_SECONDS)
                continue
            try:
                self.fence.open(takeover=self.takeover)
                break
            except (TransientError, StaleError) as error:
                self.report(f"this node's session key in etcd is not ours yet: {error}")
                log.warning("session not opened, trying again", why=str(error))
            stop.wait(backoff.failed())
        if not stop.is_set():
            self.report(None)
            self.run_allocator(stop)
