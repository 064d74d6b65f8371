"""The level-triggered loop: facts make keys dirty, one thread decides, says, writes and tries again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from bgp.calc.announcements import Announced, announced
from bgp.calc.configuration import effective
from bgp.calc.peerings import SecretRef, sessions, wanted_secrets
from bgp.calc.peerings import Sessions as Decided
from bgp.door import Questions
from bgp.inbox import Bell
from bgp.model import Event
from bgp.reporting import Reporting
from bgp.rib_in import RibIn
from bgp.routing import Routing
from bgp.secrets import SecretFiles
from bgp.sessions import Sessions
from bgp.state import Dirty, Snapshot, State
from bgp.status import DAEMON
from bgp.told import tellers, told
from felix_py.datastore.calc.pools import pool_for
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.changes import SyncMailbox
from felix_py.kernel.errors import KernelRefused
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import TransientError
from felix_py.runtime.health import Health
from felix_py.runtime.metrics import APPLY_SECONDS
from felix_py.runtime.schedule import Backoff, Interval, Retry
from felix_py.runtime.stream import Stream

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.2
"""Longest sleep: timers of sessions and of ExaBGP are looked at this often."""
SECRETS_SECONDS = 3.0
"""Password files are read again this often."""
LIVE_SECONDS = 30.0
"""A round that takes longer counts as dead."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where facts come from. `connected`: the relay is there; `reconnect`: start, or start over, with it."""

    bell: Bell
    mailbox: SyncMailbox
    events: Stream[Event]
    connected: Callable[[], bool]
    reconnect: Callable[[], None]
    secrets: SecretFiles
    questions: Questions = field(default_factory=Questions)


@dataclass(frozen=True, slots=True)
class Parts:
    """Who does what is decided."""

    rib: RibIn
    sessions: Sessions
    routing: Routing
    reporting: Reporting


class Loop:
    """Owns the state. Before the store was in sync once nothing is said, no route is touched and nobody
    is listened to: what is heard of a peer that is not expected yet would be lost. While the store is
    frozen or away later on, the last decisions stand and peers are listened to."""

    def __init__(
        self,
        inputs: Inputs,
        state: State,
        parts: Parts,
        max_prefixes: int,
        clock: Clock,
        health: Health,
    ) -> None:
        self._inputs, self._state, self._rib = inputs, state, parts.rib
        self._sessions, self._routing = parts.sessions, parts.routing
        self._reporting, self._max_prefixes = parts.reporting, max_prefixes
        self._clock, self._health = clock, health
        self._started = False
        self._decided = Decided()
        self._announced: Announced = {}
        self._secrets: Mapping[SecretRef, str] = {}
        self._reread_secrets = Interval(SECRETS_SECONDS)
        self._retry = Retry(Backoff(0.05, 5.0))

    def run(self, stop: threading.Event) -> None:
        """Go round until told to stop; sessions and routes are left as they are."""
        while not stop.is_set():
            self._inputs.bell.wait(self._wait_seconds(self._clock.now()))
            self._health.beat(DAEMON, LIVE_SECONDS)
            self.step()

    def step(self) -> None:
        """Go round once, and tell how things stand."""
        well = True
        try:
            with APPLY_SECONDS.labels(DAEMON).time():
                self._round()
        except (KernelRefused, TransientError) as error:
            log.warning("round failed, everything is read again", reason=str(error))
            self._routing.look_again()
            self._state.all_dirty()
            well = False
        self._retry.record(self._clock.now(), failed=not well)
        self._report()
        for question in self._inputs.questions.take_all():
            pool = pool_for(question.address, self._state.snapshot.pools.values())
            paths = told(question.address, self._rib, self._routing.decision)
            told_pool = tellers(None if pool is None else pool.cidr, self._rib)
            question.answers.put({"paths": paths, "tellersOfPool": told_pool})

    def _wait_seconds(self, now: float) -> float:
        wait = self._routing.wait_seconds(now, TICK_SECONDS)
        return self._retry.wait_seconds(now, wait)

    def _round(self) -> None:
        """Take in, decide, say, write."""
        now = self._clock.now()
        self._state.fold(self._inputs.mailbox.take_all(0))
        if not self._started:
            if not self._state.store.may_act:
                return
            self._routing.start(now)
            self._started = True
            self._inputs.reconnect()
        dirty = self._state.take_dirty()
        self._decide(dirty, now)
        self._listen()
        self._rib.tick(now)
        self._routing.update(self._state.snapshot, dirty, now)
        self._sessions.step()

    def _listen(self) -> None:
        """Events in their order; after lost ones the conversation with ExaBGP starts over."""
        events, lost = self._inputs.events.take_all(0)
        if lost:
            log.warning("events lost, everything is asked for again")
            self._inputs.reconnect()
        for event in events:
            self._sessions.handle(event)
        if not self._inputs.connected():
            self._sessions.relay_away()

    def _decide(self, dirty: Dirty, now: float) -> None:
        snapshot = self._state.snapshot
        if self._reread_secrets.due(now) or dirty.peerings:
            read = self._inputs.secrets.read(wanted_secrets(snapshot))
            dirty.peerings = dirty.peerings or read != self._secrets
            self._secrets = read
        if dirty.peerings:
            self._decided = self._sessions_of(snapshot)
            peerings = self._decided.peerings
            port = effective(snapshot.configurations, snapshot.me).listen_port
            self._sessions.want(peerings, port)
        if dirty.announcements:
            self._announced = announced(snapshot)
            self._sessions.say(self._announced)

    def _sessions_of(self, snapshot: Snapshot) -> Decided:
        """None where the node's backend is without BGP: felix writes what routes there are."""
        if snapshot.reach_terms.backend is not Backend.BGP:
            return Decided()
        return sessions(snapshot, self._secrets, self._max_prefixes)

    def _report(self) -> None:
        self._reporting.report(
            self._state, self._decided, self._announced, self._sessions, self._rib, self._routing
        )
