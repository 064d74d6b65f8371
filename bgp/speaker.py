"""What we say to each peer: desired against what ExaBGP holds, as commands, answers counted.

Shaped by what ExaBGP does (measured):
- it remembers what was announced to a peer and says it again after a flap, also what we no longer
  want; it forgets it when it restarts or when a peering's key changes. So what it holds is read
  back from it at every attach and every session up, and only the difference is said;
- two changes of one prefix in one batch can leave the peer with the older one: a prefix with an
  unanswered command waits for the answer before it changes again;
- routes waiting for a peer that is down make it ignore reloads: only peers that are up are named;
- End-of-RIB before the routes ends a graceful restart with a hole: it goes out after them, on
  every session up, and not before `set` said for the first time what this peer should hear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from bgp.adj_rib_out import Change, Held, PeerOut, changes
from bgp.dialogue import Answer, Dialogue
from bgp.model import Attributes, Family, IPAddress, IPNetwork
from bgp.readback import parse_announced, show_announced
from bgp.wire import announce_line, eor_line, withdraw_line

log = structlog.get_logger(__name__)

RESYNC_AFTER_ERROR_SECONDS = 1.0
"""A refused command makes us read back what ExaBGP holds, not more often than this per peer."""


class Speaker:
    """Keeps what ExaBGP announces to each peer equal to what `set` was told last.

    Not thread safe: belongs to the thread that owns the daemon's state.
    """

    def __init__(self, dialogue: Dialogue, now: Callable[[], float]) -> None:
        self._dialogue = dialogue
        self._now = now
        self._peers: dict[IPAddress, PeerOut] = {}

    def set(self, peer: IPAddress, announcements: Mapping[IPNetwork, Attributes]) -> None:
        """All that this peer should hear from us, from now on."""
        state = self._peers.setdefault(peer, PeerOut())
        state.wanted = dict(announcements)
        state.dirty = True

    def session_up(self, peer: IPAddress, families: Iterable[Family] = (Family.IPV4,)) -> None:
        """The session is established with these families; each gets its End-of-RIB."""
        state = self._peers.setdefault(peer, PeerOut())
        self._forget_session(state)
        state.up = True
        state.eor_due = tuple(family for family in Family if family in set(families))

    def session_down(self, peer: IPAddress) -> None:
        """The session is gone; nothing is said to this peer until it is up."""
        if peer in self._peers:
            self._forget_session(self._peers[peer])

    def is_up(self, peer: IPAddress) -> bool:
        """The session is established."""
        return peer in self._peers and self._peers[peer].up

    def leave(self, peer: IPAddress) -> None:
        """The peering ends soon: take back everything, whatever `set` says."""
        if peer in self._peers:
            self._peers[peer].leaving = True
            self._peers[peer].dirty = True

    def stay(self, peer: IPAddress) -> None:
        """The peering ended or does not end after all: `set` counts again."""
        if peer in self._peers:
            self._peers[peer].leaving = False
            self._peers[peer].dirty = True

    def forget(self, peer: IPAddress) -> None:
        """The peering does not exist any more."""
        self._peers.pop(peer, None)

    def restarted(self) -> None:
        """Another ExaBGP, relay or connection: no session is known to be up, nothing to be held."""
        for state in self._peers.values():
            self._forget_session(state)

    def acknowledged(self, ok: bool) -> None:  # noqa: FBT001  the event's own value
        """ExaBGP answered the oldest command."""
        self._dialogue.acknowledged(ok)

    def settled(self, peer: IPAddress) -> bool:
        """The peer is up and ExaBGP has taken all that it should hear, End-of-RIB included."""
        state = self._peers.get(peer)
        return (
            state is not None
            and state.up
            and state.held is Held.KNOWN
            and state.sent == state.desired
            and not state.in_flight
            and not state.eor_due
            and not state.eor_in_flight
        )

    def announced(self, peer: IPAddress) -> Mapping[IPNetwork, Attributes]:
        """What ExaBGP is believed to hold for this peer."""
        state = self._peers.get(peer)
        return {} if state is None else state.sent

    def flush(self) -> None:
        """Say what differs, as far as the window of unanswered commands allows."""
        self._read_back()
        ready = {
            peer: state
            for peer, state in self._peers.items()
            if state.up and state.dirty and state.held is Held.KNOWN and state.desired is not None
        }
        for change in changes(ready):
            if self._dialogue.room == 0:
                return
            self._say(change)
        for peer, state in ready.items():
            self._finish(peer, state)

    def _finish(self, peer: IPAddress, state: PeerOut) -> None:
        """End-of-RIB once ExaBGP has taken every route; it sends it after them."""
        waits = bool(state.in_flight)
        while state.eor_due and not waits and self._dialogue.room:
            family, state.eor_due = state.eor_due[0], state.eor_due[1:]
            state.eor_in_flight += 1
            session = state.session
            self._dialogue.ask(
                eor_line(peer, family),
                lambda answer, session=session, family=family: self._eor_answered(  # type: ignore[misc]
                    peer, session, family, answer
                ),
            )
        state.dirty = waits or bool(state.eor_due)

    def _say(self, change: Change) -> None:
        for peer in change.peers:
            state = self._peers[peer]
            state.in_flight.update(change.prefixes)
            if change.withdraw:
                for prefix in change.prefixes:
                    state.sent.pop(prefix, None)
            else:
                state.sent.update(dict.fromkeys(change.prefixes, change.attributes))
        line = withdraw_line if change.withdraw else announce_line
        sessions = {peer: self._peers[peer].session for peer in change.peers}
        self._dialogue.ask(
            line(change.peers, change.attributes, change.prefixes),
            lambda answer: self._change_answered(sessions, change, answer),
        )

    def _change_answered(
        self, sessions: Mapping[IPAddress, int], change: Change, answer: Answer
    ) -> None:
        if not answer.ok and not answer.lost:
            self._refused(f"{'withdraw' if change.withdraw else 'announce'} {change.prefixes[0]}")
        for peer, session in sessions.items():
            state = self._peers.get(peer)
            if state is None or state.session != session:
                continue
            state.in_flight.difference_update(change.prefixes)
            state.dirty = True
            if not answer.ok:
                self._distrust(peer, state)

    def _eor_answered(self, peer: IPAddress, session: int, family: Family, answer: Answer) -> None:
        state = self._peers.get(peer)
        if state is None or state.session != session:
            return
        state.eor_in_flight -= 1
        if not answer.ok:
            self._refused(f"eor {family.value} to {peer}")
            state.eor_due = (*state.eor_due, family)
            self._distrust(peer, state)

    def _refused(self, command: str) -> None:
        """Errors overtake answers, so that any unanswered command may be the one refused."""
        log.warning(
            "exabgp refused a command", command=command, unanswered=len(self._dialogue.unanswered())
        )
        for peer, state in self._peers.items():
            if state.in_flight:
                self._distrust(peer, state)

    def _distrust(self, peer: IPAddress, state: PeerOut) -> None:
        if state.held is Held.KNOWN:
            log.info("reading back what exabgp announces", peer=str(peer))
            state.held = Held.UNKNOWN
            state.ask_after = self._now() + RESYNC_AFTER_ERROR_SECONDS
        state.dirty = True

    def _forget_session(self, state: PeerOut) -> None:
        state.session += 1
        state.up = False
        state.held = Held.UNKNOWN
        state.sent = {}
        state.dirty = True
        state.eor_due = ()
        state.eor_in_flight = 0
        state.in_flight = set()
        state.ask_after = 0.0

    def _read_back(self) -> None:
        """Ask once for all peers whose state in ExaBGP is not known."""
        now = self._now()
        asked = {
            peer: state.session
            for peer, state in self._peers.items()
            if state.up
            and state.held is Held.UNKNOWN
            and not state.in_flight
            and state.ask_after <= now
        }
        if not asked or not self._dialogue.room:
            return
        for peer in asked:
            self._peers[peer].held = Held.ASKED
        only = next(iter(asked)) if len(asked) == 1 else None
        self._dialogue.ask(show_announced(only), lambda answer: self._learned(asked, answer))

    def _learned(self, asked: Mapping[IPAddress, int], answer: Answer) -> None:
        try:
            held = parse_announced(answer.lines) if answer.ok else None
        except ValueError as error:
            log.warning("exabgp's routes cannot be read", error=str(error))
            held = None
        for peer, session in asked.items():
            state = self._peers.get(peer)
            if state is None or state.session != session or state.held is not Held.ASKED:
                continue
            state.dirty = True
            if held is None:
                state.held = Held.UNKNOWN
                state.ask_after = self._now() + RESYNC_AFTER_ERROR_SECONDS
            else:
                state.held = Held.KNOWN
                state.sent = held.get(peer, {})
