"""Status and metrics of the BGP agent: gathered by the loop, written to etcd by a thread of its own,
because a call to etcd may wait for seconds and a lost route is to be back within one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from bgp.calc.announcements import Announced
from bgp.calc.peerings import Sessions as Decided
from bgp.model import IPAddress
from bgp.peer_rib import Peer
from bgp.readiness import Readiness
from bgp.rib_in import RibIn
from bgp.routing import Routing
from bgp.sessions import Sessions
from bgp.state import State
from bgp.status import DAEMON, RouteReport, SessionReport, Troubles, document
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.changes import CONCERN
from felix_py.datastore.status_board import StatusBoard
from felix_py.datastore.status_document import Identity
from felix_py.runtime.clock import Clock
from felix_py.runtime.health import Health
from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.metrics import (
    BGP_PATHS,
    BGP_REFUSED,
    BGP_SESSIONS,
    INVALID_OBJECTS,
    STORE_FROZEN,
)
from felix_py.runtime.schedule import Interval

REPORT_SECONDS = 1.0
"""The status is put together at most this often."""
WAIT_SECONDS = 1.0
"""How long the publishing thread sleeps without news."""


class Publisher:
    """The thread that shows the newest status in etcd."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board
        self._mailbox: Mailbox[str, Mapping[str, object]] = Mailbox()

    def publish(self, status: Mapping[str, object]) -> None:
        """This is the newest one."""
        self._mailbox.put(DAEMON, status)

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; the board writes when it may and has something new."""
        newest: Mapping[str, object] | None = None
        while not stop.is_set():
            newest = self._mailbox.take_all(WAIT_SECONDS).get(DAEMON, newest)
            if newest is not None:
                self._board.publish(newest)


class Reporting:
    """Puts the status together and hands it out when it says something new."""

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        write: Callable[[Mapping[str, object]], None],
        publish: Callable[[Mapping[str, object]], None],
        health: Health,
    ) -> None:
        self._identity, self._clock, self._health = identity, clock, health
        self._readiness = Readiness()
        self._write, self._publish = write, publish
        self._interval = Interval(REPORT_SECONDS)
        self._said: Mapping[str, object] = {}
        self._since: dict[IPAddress, tuple[float, str]] = {}

    def report(
        self,
        state: State,
        decided: Decided,
        announced: Announced,
        sessions: Sessions,
        rib: RibIn,
        routing: Routing,
    ) -> None:
        """Tell if it is time and something is new."""
        if not self._interval.due(self._clock.now()):
            return
        peers, over = rib.peers(), frozenset(routing.over_limit())
        reports = [
            SessionReport(
                peering,
                peers.get(peer),
                settled=sessions.spoken_to(peer),
                over_limit=peer in over,
                since=self._wall(peer, peers.get(peer)),
            )
            for peer, peering in sessions.peerings.items()
        ]
        troubles = Troubles(
            decided.refused,
            decided.warnings,
            {key.path: reason for key, reason in state.invalid.items()},
            sessions.problem,
        )
        routes = _routes(routing, state)
        self._tell_health(state, reports, sessions)
        status = document(self._identity, state.store, reports, announced, routes, troubles)
        if status == self._said:
            return
        self._said = status
        _measure(state, peers, routes)
        self._write(status)
        self._publish(status)

    def _tell_health(
        self, state: State, reports: Sequence[SessionReport], sessions: Sessions
    ) -> None:
        self._health.note(CONCERN, state.store.trouble)
        reason = None
        if state.store.may_act and state.snapshot.reach_terms.backend is Backend.BGP:
            reason = self._readiness.why_not(
                self._clock.now(), reports, attached=sessions.attached, problem=sessions.problem
            )
        self._health.note(DAEMON, reason)

    def _wall(self, address: IPAddress, peer: Peer | None) -> str:
        """When the session came up or went down, for people."""
        if peer is None:
            return ""
        known = self._since.get(address)
        if known is None or known[0] != peer.changed_at:
            ago = timedelta(seconds=self._clock.now() - peer.changed_at)
            known = (peer.changed_at, _text(self._clock.wall() - ago))
            self._since[address] = known
        return known[1]


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _routes(routing: Routing, state: State) -> RouteReport:
    refused, examples = routing.refusals()
    return RouteReport(
        backend=state.snapshot.reach_terms.backend.value,
        wanted=routing.wanted,
        installed=routing.fib.installed(),
        adopting=routing.fib.adopting,
        waiting_for_felix=routing.fib.waiting_for_felix,
        refused={reason.value: count for reason, count in refused.items()},
        examples={reason.value: named for reason, named in examples.items()},
        unresolved=routing.fib.unresolved(),
        troubles=routing.fib.troubles(),
    )


def _measure(state: State, peers: Mapping[IPAddress, Peer], routes: RouteReport) -> None:
    INVALID_OBJECTS.labels(DAEMON).set(len(state.invalid))
    STORE_FROZEN.labels(DAEMON).set(state.store.frozen is not None)
    states = Counter("up" if peer.up else "down" for peer in peers.values())
    for name in ("up", "down"):
        BGP_SESSIONS.labels(name).set(states[name])
    BGP_PATHS.clear()
    for address, peer in peers.items():
        BGP_PATHS.labels(str(address)).set(len(peer.paths))
    BGP_REFUSED.clear()
    for reason, count in routes.refused.items():
        BGP_REFUSED.labels(reason).set(count)
