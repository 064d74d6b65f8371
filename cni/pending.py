"""DELs that were answered while etcd was away: on disk before the answer, settled later.

<stateDir>/pending-del/<hash of the handle>.json. They outlive restarts and reboots.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from cni import durable_file
from cni.errors import TryAgain
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, Kind
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import RefusedError, TransientError
from felix_py.runtime.schedule import Backoff
from ipam.requests import ReleaseRequest

log = structlog.get_logger(__name__)

MAX_PENDING = 10_000
"""More than any node has pods; beyond it DEL is answered "try again later", which runtimes do."""

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 5.0
POLL_SECONDS = 0.5


class PendingDel(msgspec.Struct, frozen=True, rename="camel"):
    """What is still to be given back in etcd; the host's side is gone already."""

    handle: str
    container_id: str
    endpoint_namespace: str
    endpoint_name: str

    @property
    def release(self) -> ReleaseRequest:
        """What to ask the allocator."""
        key = ResourceKey(Kind.WORKLOAD_ENDPOINT, self.endpoint_name, self.endpoint_namespace)
        return ReleaseRequest(HandleId(self.handle), self.container_id, key)


def pending_of(release: ReleaseRequest) -> PendingDel:
    """A release as it is kept on disk."""
    key = release.endpoint_key
    return PendingDel(
        handle=release.handle_id,
        container_id=release.container_id,
        endpoint_namespace=key.namespace if key else "",
        endpoint_name=key.name if key else "",
    )


class PendingDels:
    """The unsettled DELs of this node. Safe to use from several threads.

    `stalled` is set while the store is known to be away: DEL then does not wait for it again.
    """

    def __init__(self, state_dir: str) -> None:
        self._directory = Path(state_dir) / "pending-del"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        good, bad = durable_file.read_all(self._directory, PendingDel)
        for path in bad:
            log.warning("pending DEL cannot be read and is passed over", path=str(path))
        self._pending = {HandleId(pending.handle): pending for pending in good.values()}
        self.stalled = False

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, release: ReleaseRequest) -> None:
        """On disk when this returns. Raises TryAgain at the bound."""
        pending = pending_of(release)
        with self._lock:
            full = len(self._pending) >= MAX_PENDING and release.handle_id not in self._pending
        if full:
            raise TryAgain(f"{MAX_PENDING} DELs wait for etcd already")
        durable_file.write(self._path(release.handle_id), pending, sync=True)
        with self._lock:
            self._pending[release.handle_id] = pending

    def get(self, handle: HandleId) -> PendingDel | None:
        """The pending DEL of this handle."""
        with self._lock:
            return self._pending.get(handle)

    def all(self) -> tuple[PendingDel, ...]:
        """Every pending DEL."""
        with self._lock:
            return tuple(self._pending.values())

    def remove(self, handle: HandleId) -> None:
        """It is settled; absent is fine."""
        with self._lock:
            self._pending.pop(handle, None)
        self._path(handle).unlink(missing_ok=True)

    def _path(self, handle: HandleId) -> Path:
        return self._directory / f"{hashlib.sha256(handle.encode()).hexdigest()[:32]}.json"


class Settler:
    """Settles pending DELs one after the other, with a backoff while the store will not."""

    def __init__(
        self, pending: PendingDels, settle: Callable[[HandleId], None], clock: Clock
    ) -> None:
        self._pending = pending
        self._settle = settle
        self._clock = clock
        self._backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        self._due_at = clock.now()

    def run(self, stop: threading.Event) -> None:
        """Until asked to stop."""
        while not stop.is_set():
            self.step(stop)
            stop.wait(POLL_SECONDS)

    def step(self, stop: threading.Event) -> None:
        """Settle what can be settled now. One refusal does not hold up the others."""
        if self._clock.now() < self._due_at:
            return
        try:
            refused = self._settle_all(stop)
        except TransientError as error:
            log.info("store away, DELs stay pending", count=len(self._pending), why=str(error))
            self._due_at = self._clock.now() + self._backoff.failed()
            return
        self._pending.stalled = False
        if refused:
            self._due_at = self._clock.now() + self._backoff.failed()
        else:
            self._backoff.succeeded()

    def _settle_all(self, stop: threading.Event) -> bool:
        """Try each once; True when any was refused. Raises TransientError: so would the others."""
        refused = False
        for pending in self._pending.all():
            if stop.is_set():
                break
            try:
                self._settle(HandleId(pending.handle))
            except RefusedError as error:
                log.warning("pending DEL refused", handle=pending.handle, why=str(error))
                refused = True
        return refused
