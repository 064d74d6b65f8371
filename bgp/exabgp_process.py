"""The agent's view of ExaBGP: the sessions it should have, how it is told, whether it still answers.

A change of the peerings goes: withdraw from those that leave and wait a moment, write the
configuration beside the real one, have ExaBGP's own parser check it (a bad one would end the relay
and then ExaBGP), put it in place, `reload`, and look in `show neighbor json` until the wanted
neighbours are there. ExaBGP drops a reload silently while routes are pending, so it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from bgp.dialogue import Answer, Dialogue
from bgp.exabgp_config import check, render
from bgp.exabgp_files import Candidate, installed, write_listen
from bgp.exabgp_watch import Watch
from bgp.model import Event, IPAddress, PeerDown, Peering, PeerOpened, PeerUp, RelayAttached
from bgp.readback import SHOW_NEIGHBORS, NeighborShown, parse_neighbors
from bgp.speaker import Speaker
from bgp.wire import refresh_line

log = structlog.get_logger(__name__)

DEBOUNCE_SECONDS = 0.3
"""A change of the peerings waits so long for more of them: each reload stops ExaBGP for a moment."""
WITHDRAW_SECONDS = 3.0
"""How long a leaving peer may take to be told; then it leaves all the same."""
LEAVE_SECONDS = 1.0
"""Between the last withdrawal and the end of the session, for it to be on the wire."""
CONFIRM_EVERY_SECONDS = 1.0
CONFIRM_TRIES = 10
"""Reloads without effect before ExaBGP is restarted; graceful restart covers that."""
RETRY_SECONDS = 5.0
"""A configuration that could not be written or was refused is tried again after this."""
DEFAULT_HOLD_SECONDS = 90
"""Where no session has a hold time, an ExaBGP that does not answer is noticed as if one had this."""
ASSUMED_RESTART_SECONDS = 120
"""`show neighbor json` says whether a peer restarts gracefully, not for how long."""


@dataclass(frozen=True, slots=True)
class ExabgpSettings:
    """directory: <runDir>/bgp. relay_command: program and arguments, absolute. python: has exabgp."""

    directory: Path
    relay_command: str
    python: str
    listen_port: int = 179


class ExabgpProcess:
    """Keeps ExaBGP's sessions equal to what `want` was told last; `step` does the work."""

    def __init__(
        self,
        settings: ExabgpSettings,
        dialogue: Dialogue,
        speaker: Speaker,
        watch: Watch,
        deliver: Callable[[Event], None],
    ) -> None:
        self._settings = settings
        self._listen_port = settings.listen_port
        self._dialogue = dialogue
        self._speaker = speaker
        self._watch = watch
        self._deliver = deliver
        self._wanted: tuple[Peering, ...] | None = None
        self._changed_at: float | None = None
        self._applied: tuple[Peering, ...] | None = None
        self._leaving: dict[IPAddress, float | None] = {}
        self._leave_since = 0.0
        self._candidate: tuple[Candidate, tuple[Peering, ...]] | None = None
        self._confirm_at: float | None = None
        self._tries = 0
        self._retry_at = 0.0
        self.problem = ""
        """What stands between wanted and real, for people; empty: nothing."""
        self.neighbors: tuple[NeighborShown, ...] = ()
        """What ExaBGP said last about its neighbours."""

    @property
    def confirmed(self) -> bool:
        """ExaBGP has exactly the wanted neighbours."""
        return (
            self._wanted is not None
            and self._applied == self._wanted
            and self._confirm_at is None
            and self._dialogue.attached
        )

    def want(self, peerings: Sequence[Peering], listen_port: int | None = None) -> None:
        """All the sessions there should be. What cannot be written is left out and named.

        listen_port: where peers reach us, None: as before. A new one restarts ExaBGP.
        """
        if listen_port is not None and listen_port != self._listen_port:
            self._listen_port, self._applied = listen_port, None
        usable: list[Peering] = []
        self.problem = ""
        for peering in peerings:
            try:
                check(peering)
                usable.append(peering)
            except ValueError as error:
                self.problem = str(error)
                log.warning("peering left out", peer=str(peering.peer), reason=str(error))
        wanted = tuple(sorted(usable, key=lambda one: (one.peer.version, int(one.peer))))
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed_at = None

    def attached(self, event: RelayAttached, now: float) -> None:
        """The relay (re)connected: all that is known of ExaBGP is asked for again."""
        self._dialogue.attach()
        self._speaker.restarted()
        self._watch.attached(event.exabgp_pid, now)
        self._dialogue.ask(SHOW_NEIGHBORS, self._found)
        if self._applied is not None:
            self._confirm_at, self._tries = now, 0

    def close(self) -> None:
        """The agent ends: leave no half-checked configuration and no process behind."""
        if self._candidate is not None:
            self._candidate[0].discard()
            self._candidate = None

    def step(self, now: float) -> None:
        """Do what is due; never blocks for longer than a file takes to be written."""
        holds = [one.hold_seconds for one in self._wanted or () if one.hold_seconds]
        self._watch.step(now, min(holds, default=DEFAULT_HOLD_SECONDS) / 3)
        if self._wanted is None:
            return
        if self._candidate is not None:
            self._judge(now)
        elif self._applied != self._wanted and now >= self._retry_at:
            self._prepare(now)
        elif self._confirm_at is not None and now >= self._confirm_at:
            self._ask_for_confirmation(now)

    def _prepare(self, now: float) -> None:
        assert self._wanted is not None
        if self._changed_at is None:
            self._changed_at = now
        if now < self._changed_at + DEBOUNCE_SECONDS and self._applied is not None:
            return
        if not self._all_left(now):
            return
        directory = self._settings.directory
        try:
            text = render(self._wanted, self._settings.relay_command)
            if self._wanted:
                locals_ = [peering.local for peering in self._wanted]
                write_listen(directory, locals_, self._listen_port)
            if text == installed(directory):
                self._took_effect(self._wanted, now)
                return
            candidate = Candidate(directory, text, self._settings.python, now)
        except (OSError, ValueError) as error:
            self._give_up(f"configuration of ExaBGP cannot be written: {error}", now)
            return
        self._candidate = (candidate, self._wanted)

    def _all_left(self, now: float) -> bool:
        """Withdraw from peers that leave or whose key changes, before ExaBGP hears of it."""
        keys = {_key(peering) for peering in self._wanted or ()}
        leaving = [one.peer for one in self._applied or () if _key(one) not in keys]
        if not self._leaving:
            self._leave_since = now
        for peer in set(self._leaving) - set(leaving):
            self._speaker.stay(peer)
        self._leaving = {peer: self._leaving.get(peer) for peer in leaving}
        for peer in leaving:
            self._speaker.leave(peer)
            told = self._speaker.settled(peer) or not self._speaker.is_up(peer)
            if self._leaving[peer] is None and (told or now > self._leave_since + WITHDRAW_SECONDS):
                up = self._speaker.is_up(peer)
                self._leaving[peer] = now + LEAVE_SECONDS if up else now
        self._speaker.flush()
        return all(at is not None and now >= at for at in self._leaving.values())

    def _judge(self, now: float) -> None:
        assert self._candidate is not None
        candidate, peerings = self._candidate
        verdict = candidate.verdict(now)
        if verdict is None:
            return
        self._candidate = None
        if not verdict:
            candidate.discard()
            self._give_up("ExaBGP refuses the configuration; the old one stays", now)
            return
        candidate.install()
        self._took_effect(peerings, now)

    def _took_effect(self, peerings: tuple[Peering, ...], now: float) -> None:
        log.info("exabgp configuration in place", peers=len(peerings))
        self._applied = peerings
        self._confirm_at, self._tries = now, 0
        self._solved()

    def _solved(self) -> None:
        """A problem of ExaBGP's is over; one of a peering stays until the next `want`."""
        if self._wanted == self._applied and self.problem.startswith(("ExaBGP", "configuration")):
            self.problem = ""

    def _give_up(self, problem: str, now: float) -> None:
        if problem != self.problem:
            log.error("exabgp configuration not changed", reason=problem)
        self.problem = problem
        self._retry_at = now + RETRY_SECONDS

    def _ask_for_confirmation(self, now: float) -> None:
        if not self._dialogue.attached:
            return
        if self._tries >= CONFIRM_TRIES:
            self.problem = "ExaBGP does not take the new configuration; it is restarted"
            log.error("exabgp ignores reloads", tries=self._tries)
            self._watch.kill("it ignores reloads")
            self._tries, self._confirm_at = 0, now + RETRY_SECONDS
            return
        self._tries += 1
        self._confirm_at = now + CONFIRM_EVERY_SECONDS
        self._dialogue.ask("reload", alone=True)
        self._dialogue.ask(SHOW_NEIGHBORS, self._confirm)

    def _confirm(self, answer: Answer) -> None:
        shown = self._shown(answer)
        if shown is None or self._applied is None:
            return
        wanted = {(*_key(peering), peering.hold_seconds) for peering in self._applied}
        have = {(one.peer, one.local, one.local_as, one.peer_as, one.hold_seconds) for one in shown}
        if have == {
            (peer, local, mine, theirs, hold) for peer, local, mine, theirs, _, hold in wanted
        }:
            self._confirm_at = None
            self._solved()
            for peer in self._leaving:
                self._speaker.stay(peer)
                if peer not in {one.peer for one in shown}:
                    self._speaker.forget(peer)
            self._leaving = {}
            log.info("exabgp has the wanted neighbours", peers=len(shown))

    def _found(self, answer: Answer) -> None:
        """What ExaBGP had when we came: its sessions, as events, and all their routes again."""
        for one in self._shown(answer) or ():
            for event in _events(one):
                self._deliver(event)
            for family in sorted(one.families, key=lambda family: family.version):
                if one.established:
                    self._dialogue.ask(refresh_line(one.peer, family))

    def _shown(self, answer: Answer) -> tuple[NeighborShown, ...] | None:
        if not answer.ok:
            return None
        try:
            self.neighbors = parse_neighbors(answer.lines)
        except ValueError as error:
            log.warning("exabgp's neighbours cannot be read", error=str(error))
            return None
        return self.neighbors


def _key(peering: Peering) -> tuple[object, ...]:
    """What makes it another neighbour for ExaBGP: changing one of these removes and adds it."""
    one = peering
    return (one.peer, one.local, one.local_as, one.peer_as, one.router_id)


def _events(shown: NeighborShown) -> Iterable[Event]:
    """What would have been heard of this neighbour, had we listened from the beginning."""
    if not shown.established:
        return (PeerDown(shown.peer, "found down"),)
    seconds = ASSUMED_RESTART_SECONDS if shown.graceful else None
    kept = shown.families if shown.graceful else frozenset()
    opened = PeerOpened(shown.peer, shown.peer_as, shown.families, seconds, kept, restarting=False)
    return (opened, PeerUp(shown.peer))
