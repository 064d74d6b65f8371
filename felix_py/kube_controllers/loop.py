"""The level-triggered loop: facts make names dirty, one thread decides, writes and tries again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from felix_py.datastore.changes import CONCERN, SyncMailbox
from felix_py.datastore.status_document import Identity
from felix_py.kube_api.reflector import KubeMailbox
from felix_py.kube_controllers import status
from felix_py.kube_controllers.announcer import Announcer
from felix_py.kube_controllers.calc import endpoints, nodes, profiles
from felix_py.kube_controllers.leader import Leadership
from felix_py.kube_controllers.releases import Releases
from felix_py.kube_controllers.snapshot import Dirty, Snapshot
from felix_py.kube_controllers.state import State
from felix_py.kube_controllers.wishes import Wish
from felix_py.kube_controllers.writes import Writer
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import RefusedError, TransientError
from felix_py.runtime.health import Health
from felix_py.runtime.schedule import Backoff, Retry

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
"""Longest sleep: graces and the lease are looked at this often."""
LIVE_SECONDS = 300.0
"""A round that takes longer counts as dead: it may hold twenty releases, each with a bounded read."""
KUBERNETES = "kubernetes"
"""The API server's name in readiness."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Where decisions go."""

    writer: Writer
    releases: Releases
    announcer: Announcer
    publish: Callable[[Mapping[str, object]], None]
    identity: Identity


class Loop:
    """Owns the state. Nothing is decided before all of Kubernetes and of etcd was read once; who does not
    lead follows all the same, so that it can take over at once."""

    def __init__(  # noqa: PLR0913  the whole of the process meets here
        self,
        mailbox: SyncMailbox,
        kube: KubeMailbox,
        state: State,
        leadership: Leadership,
        hands: Hands,
        *,
        clock: Clock,
        health: Health,
    ) -> None:
        self._mailbox, self._kube, self._state = mailbox, kube, state
        self._leadership, self._hands = leadership, hands
        self._clock, self._health = clock, health
        self._led = False
        self._failed = Dirty()
        self._retry = Retry(Backoff(0.2, 10.0))

    def run(self, stop: threading.Event) -> None:
        """Go round until told to stop."""
        while not stop.is_set():
            wait = self._retry.wait_seconds(self._clock.now(), TICK_SECONDS)
            changes = self._mailbox.take_all(wait)
            self._health.beat("loop", LIVE_SECONDS)
            self._state.fold_store(changes)
            self._state.fold_kube(self._kube.take_all(0))
            self.step()

    def step(self) -> None:
        """Go round once, and tell how things stand."""
        well = True
        try:
            well = self._round()
        except (TransientError, RefusedError) as error:
            log.warning("round failed", reason=str(error))
            well = False
        self._retry.record(self._clock.now(), failed=not well)
        self._report()

    def _round(self) -> bool:
        """Decide and write; False when something is to be tried again."""
        now = self._clock.now()
        if not self._state.complete:
            return True
        leads = self._leadership.leads
        if leads and not self._led:
            self._state.everything()
            self._hands.announcer.forget()
        self._led = leads
        if self._retry.due(now):
            self._state.again(self._failed)
            self._failed = Dirty()
        dirty, snapshot = self._state.take_dirty(), self._state.snapshot
        self._hands.releases.note(dirty, snapshot, now)
        if not leads:
            self._failed = Dirty()
            return True
        well = self._write(dirty, snapshot)
        if self._leadership.leads:  # writing may have taken longer than the lease lasts
            self._hands.releases.step(snapshot, now)
        return well

    def _write(self, dirty: Dirty, snapshot: Snapshot) -> bool:
        """All that is dirty; what fails stays to be tried again, and all of it when one raises."""
        earlier, self._failed = self._failed, Dirty()
        self._failed.add(earlier)
        self._failed.add(dirty)
        left = Dirty(
            profiles={n for n in dirty.profiles if not self._done(profiles.decide(n, snapshot))},
            nodes={n for n in dirty.nodes if not self._done(nodes.labels(n, snapshot))},
            endpoints={k for k in dirty.endpoints if not self._done(endpoints.labels(k, snapshot))},
        )
        announcer = self._hands.announcer
        told = dirty.nodes | announcer.waiting
        if dirty.policies:
            announcer.name_policies(snapshot)
            told |= set(snapshot.kube_nodes)
        left.nodes |= announcer.tell_nodes(told, snapshot)
        earlier.add(left)
        self._failed = earlier
        return not earlier.any

    def _done(self, wish: Wish | None) -> bool:
        return wish is None or self._hands.writer.write(wish)

    def _report(self) -> None:
        """Readiness for everybody, the status for who leads."""
        leadership = self._leadership
        self._health.note(CONCERN, self._state.store.trouble)
        self._health.note(KUBERNETES, status.trouble(self._state.kube, (leadership.problem,)))
        if leadership.leads:
            releases = self._hands.releases
            said = status.document(self._hands.identity, self._state, releases, leadership.holder)
            self._hands.publish(said)
