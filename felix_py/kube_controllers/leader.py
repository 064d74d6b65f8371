"""Which of the replicas writes: the holder of a Lease, as client-go elects one.

Others' clocks are never compared with ours: a lease counts as abandoned when it has not changed for its
duration by our own monotonic clock. Who cannot renew stops RENEWED_SECONDS after it last asked, before
anybody else may take over. Two that believe to lead for a moment do no harm: every write compares what it
was decided on.

Reference: Kubernetes v1.34 `k8s.io/client-go/tools/leaderelection`.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import structlog

from felix_py.kube_api.errors import KubeAway, KubeConflict, KubeRefused
from felix_py.kube_api.model import Lease
from felix_py.kube_api.port import KubeApi
from felix_py.runtime.clock import Clock

LEASE = "felix-py-controllers"
DURATION_SECONDS = 15
RENEWED_SECONDS = 10.0
RETRY_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Leadership:
    """`run` in a thread of its own; `leads` from any."""

    def __init__(self, api: KubeApi, namespace: str, identity: str, clock: Clock) -> None:
        self._api, self._namespace, self._me, self._clock = api, namespace, identity, clock
        self._seen = ""
        self._seen_at = 0.0
        self._valid_until = float("-inf")
        self.holder = ""
        """Who held the lease when it was last read; empty: nobody."""
        self.problem = ""
        """Why the lease cannot be read or written; empty: it can."""

    @property
    def leads(self) -> bool:
        """Whether this process may write now."""
        return self._clock.now() < self._valid_until

    def run(self, stop: threading.Event) -> None:
        """Take part until told to stop; then let go at once, so that the other need not wait."""
        while not stop.is_set():
            self.step()
            stop.wait(RETRY_SECONDS)
        self._let_go()

    def step(self) -> None:
        """Look at the lease; take or renew it where that is our right."""
        before = self.leads
        try:
            self._take_part()
            self.problem = ""
        except KubeConflict:
            pass  # another was quicker: the next look tells who
        except (KubeAway, KubeRefused) as error:
            if str(error) != self.problem:
                log.warning("lease cannot be renewed", reason=str(error))
            self.problem = str(error)
        if before != self.leads:
            log.info("leading" if self.leads else "no longer leading", holder=self.holder)

    def _take_part(self) -> None:
        asked_at = self._clock.now()
        lease = self._api.get_lease(self._namespace, LEASE)
        self.holder = "" if lease is None else lease.holder
        if lease is not None and lease.version != self._seen:
            self._seen, self._seen_at = lease.version, asked_at
        if lease is not None and not self._is_ours_to_take(lease, asked_at):
            self._valid_until = float("-inf")
            return
        stored = self._api.put_lease(self._renewed(lease))
        self._seen, self._seen_at = stored.version, asked_at
        self.holder, self._valid_until = self._me, asked_at + RENEWED_SECONDS

    def _is_ours_to_take(self, lease: Lease, now: float) -> bool:
        abandoned = now - self._seen_at >= lease.duration_seconds
        return lease.holder in {"", self._me} or abandoned

    def _renewed(self, lease: Lease | None) -> Lease:
        at = f"{self._clock.wall():%Y-%m-%dT%H:%M:%S.%fZ}"
        if lease is None:
            return Lease(LEASE, self._namespace, self._me, DURATION_SECONDS, at, at)
        renewed = replace(lease, duration_seconds=DURATION_SECONDS, renewed_at=at)
        if lease.holder == self._me:
            return renewed
        transitions = lease.transitions + 1
        return replace(renewed, holder=self._me, acquired_at=at, transitions=transitions)

    def _let_go(self) -> None:
        if not self.leads:
            return
        self._valid_until = float("-inf")
        try:
            lease = self._api.get_lease(self._namespace, LEASE)
            if lease is not None and lease.holder == self._me:
                self._api.put_lease(replace(lease, holder="", duration_seconds=1))
        except (KubeAway, KubeConflict, KubeRefused) as error:
            log.info("lease not let go, it runs out by itself", reason=str(error))
