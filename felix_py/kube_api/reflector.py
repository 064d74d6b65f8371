"""Keeps a mailbox equal to one kind of objects: list, watch, list again. One thread's work.

Shaped by what goes wrong with API servers:
- a watch ends for no reason every few minutes: it is taken up at the version reached, without a list;
- history is kept for minutes only (VersionGone): then everything is listed again, and what vanished
  meanwhile is delivered as gone, with `seen=False`: nobody told us that it was deleted;
- a connection may be dead without a word: `ReflectorState.heard_at` says how old our knowledge is;
- a list may lack what exists (a cache behind, a half-restored store): who deletes by what is gone must
  look at `seen` and ask again. A reflector judges nothing.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from felix_py.kube_api.errors import KubeAway, KubeRefused, VersionGone, WatchEnded
from felix_py.kube_api.model import KubeObject, Ref, Resource, ref_of
from felix_py.kube_api.port import EVERYTHING, Changed, KubeApi, Scope, Watch, WatchBatch
from felix_py.runtime.clock import Clock
from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.schedule import Backoff

READ_SECONDS = 0.2
"""The longest a watch is waited for before the stop event is looked at."""
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 5.0
"""A jitter of half to one and a half times keeps a fleet from listing at the same instant."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KubeChange:
    """The newest of an object: its value, or None when it is gone.

    seen: the watch told that it was deleted; False: a later list did not have it.
    """

    value: KubeObject | None
    seen: bool = True


@dataclass(frozen=True, slots=True)
class ReflectorState:
    """How one kind stands. in_sync: everything of the first list was put before this.

    connected: the last exchange worked; why: what is wrong, for people; lists: how often all was listed.
    """

    resource: Resource
    in_sync: bool = False
    connected: bool = False
    why: str = ""
    lists: int = 0


KubeMailbox = Mailbox[Ref | Resource, KubeChange | ReflectorState]
"""Where reflectors put: Ref -> KubeChange, Resource -> ReflectorState of that kind."""

KubePut = Callable[[Ref | Resource, KubeChange | ReflectorState], None]


class Reflector:
    """`run` until the stop event. Never raises for what the API server does."""

    def __init__(
        self,
        api: KubeApi,
        resource: Resource,
        put: KubePut,
        clock: Clock,
        scope: Scope = EVERYTHING,
    ) -> None:
        self._api, self._resource, self._put, self._clock = api, resource, put, clock
        self._scope = scope
        self._known: dict[Ref, str] = {}
        self._state = ReflectorState(resource)
        self._backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        self._version = ""
        self.heard_at = float("-inf")
        """Monotonic instant up to which the mailbox is known to be complete, as far as the watch tells."""

    def run(self, stop: threading.Event) -> None:
        """List, follow, and start over whenever the API server makes it necessary."""
        self._put(self._resource, self._state)
        while not stop.is_set():
            try:
                if not self._version:
                    self._list()
                self._follow(stop)
            except VersionGone as error:
                log.info("objects will be listed again", resource=self._resource, why=str(error))
                self._version = ""
            except WatchEnded:
                stop.wait(FIRST_RETRY_SECONDS * random.uniform(0.5, 1.5))
            except (KubeAway, KubeRefused) as error:
                self._disconnected(error, stop)

    def _list(self) -> None:
        started = self._clock.now()
        listing = self._api.list(self._resource, self._scope)
        fresh = {ref_of(value): value for value in listing.items}
        for ref in [ref for ref in self._known if ref not in fresh]:
            del self._known[ref]
            self._put(ref, KubeChange(None, seen=False))
        for ref, value in fresh.items():
            self._deliver(ref, value)
        self._version, self.heard_at = listing.version, started
        self._backoff.succeeded()
        log.info("objects listed", resource=self._resource, objects=len(fresh))
        lists = self._state.lists + 1
        self._publish(replace(self._state, in_sync=True, connected=True, why="", lists=lists))

    def _follow(self, stop: threading.Event) -> None:
        watch: Watch = self._api.watch(self._resource, self._scope, self._version)
        self._publish(replace(self._state, connected=True, why=""))
        try:
            while not stop.is_set():
                asked_at = self._clock.now()
                batch = watch.next(READ_SECONDS)
                if batch is not None:
                    self._take(batch)
                    self.heard_at = asked_at
        finally:
            watch.close()

    def _take(self, batch: WatchBatch) -> None:
        for event in batch.events:
            if isinstance(event, Changed):
                self._deliver(ref_of(event.value), event.value)
            else:
                self._known.pop(event.ref, None)
                self._put(event.ref, KubeChange(None))
        self._version = batch.version
        self._backoff.succeeded()
        self._publish(replace(self._state, connected=True, why=""))

    def _deliver(self, ref: Ref, value: KubeObject) -> None:
        """Put it unless it was put as it is."""
        if self._known.get(ref) != value.meta.version:
            self._known[ref] = value.meta.version
            self._put(ref, KubeChange(value))

    def _disconnected(self, error: Exception, stop: threading.Event) -> None:
        wait = self._backoff.failed() * random.uniform(0.5, 1.5)
        self._publish(replace(self._state, connected=False, why=str(error)))
        log.warning(
            "API server is away", resource=self._resource, why=str(error), in_seconds=round(wait, 2)
        )
        stop.wait(wait)

    def _publish(self, state: ReflectorState) -> None:
        """Put the state if it is news."""
        if state != self._state:
            self._state = state
            self._put(self._resource, state)
