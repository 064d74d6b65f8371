"""The agent's view of ExaBGP: the sessions it should have, how it is told, whether it still answers.

A change of the peerings goes: withdraw from those that leave and wait a moment, write the
configuration beside the real one, have ExaBGP's own parser check it (a bad one would end the relay
and then ExaBGP), put it in place, `reload`, and look in `show neighbor` until the wanted neighbours
are there, with the description of this very file: a change of passwords or families shows nowhere
else. ExaBGP drops a reload silently while routes are pending, so it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import structlog

from bgp.dialogue import Answer, Dialogue
from bgp.exabgp_config import check, described, render
from bgp.exabgp_files import Candidate, ConfigFiles
from bgp.exabgp_watch import Watch
from bgp.model import Event, IPAddress, Peering, RelayAttached
from bgp.readback import (
    SHOW_NEIGHBORS,
    NeighborShown,
    are_shown,
    as_events,
    parse_neighbors,
    show_configuration,
)
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
DEFAULT_PORT = 179
DEFAULT_HOLD_SECONDS = 90
"""Where no session has a hold time, an ExaBGP that does not answer is noticed as if one had this."""


class ExabgpProcess:
    """Keeps ExaBGP's sessions equal to what `want` was told last; `step` does the work.

    relay_command: ExaBGP's handler, program and arguments, absolute.
    """

    def __init__(
        self,
        relay_command: str,
        files: ConfigFiles,
        dialogue: Dialogue,
        speaker: Speaker,
        watch: Watch,
        deliver: Callable[[Event], None],
    ) -> None:
        self._relay_command = relay_command
        self._files = files
        self._listen_port = DEFAULT_PORT
        self._dialogue = dialogue
        self._speaker = speaker
        self._watch = watch
        self._deliver = deliver
        self._wanted: tuple[Peering, ...] | None = None
        self._changed_at: float | None = None
        self._applied: tuple[Peering, ...] | None = None
        self._description = ""
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
        self._dialogue.attach(event.connection)
        self._speaker.restarted()
        self._watch.attached(event.exabgp_pid, now)
        self.find(None)
        if self._applied is not None:
            self._confirm_at, self._tries = now, 0

    def find(self, peers: Iterable[IPAddress] | None) -> None:
        """Have it told again how the sessions with these peers stand (None: with all), and their routes."""
        only = None if peers is None else frozenset(peers)
        if self._dialogue.attached and only != frozenset():
            self._dialogue.ask(SHOW_NEIGHBORS, lambda answer: self._found(answer, only))

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
        elif self._confirm_at is None:
            self._all_stay()
        elif now >= self._confirm_at:
            self._ask_for_confirmation(now)

    def _prepare(self, now: float) -> None:
        assert self._wanted is not None
        if self._changed_at is None:
            self._changed_at = now
        if now < self._changed_at + DEBOUNCE_SECONDS and self._applied is not None:
            return
        if not self._all_left(now):
            return
        files = self._files
        try:
            in_place = files.installed()
            if in_place is None and not self._wanted:
                return  # ExaBGP is not to start before it is known where it listens
            text = render(self._wanted, self._relay_command)
            if self._wanted:
                files.write_listen([peering.local for peering in self._wanted], self._listen_port)
            if text == in_place:
                self._took_effect(text, self._wanted, now)
                return
            candidate = files.candidate(text, now)
        except (OSError, ValueError) as error:
            self._give_up(f"configuration of ExaBGP cannot be written: {error}", now)
            return
        self._candidate = (candidate, self._wanted)

    def _all_left(self, now: float) -> bool:
        """Withdraw from peers that leave or whose key changes, before ExaBGP hears of it."""
        keys = {peering.key for peering in self._wanted or ()}
        leaving = [one.peer for one in self._applied or () if one.key not in keys]
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

    def _all_stay(self) -> None:
        """Nobody leaves after all."""
        for peer in self._leaving:
            self._speaker.stay(peer)
        self._leaving = {}

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
        self._took_effect(candidate.text, peerings, now)

    def _took_effect(self, text: str, peerings: tuple[Peering, ...], now: float) -> None:
        log.info("exabgp configuration in place", peers=len(peerings))
        self._applied, self._description = peerings, described(text)
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
        if shown is None or self._applied is None or self._confirm_at is None:
            return
        if not are_shown(self._applied, shown):
            return
        if not self._applied:
            self._confirmed()
            return
        description = self._description
        self._dialogue.ask(
            show_configuration(self._applied[0].peer),
            lambda answer: self._confirm_text(description, answer),
        )

    def _confirm_text(self, description: str, answer: Answer) -> None:
        """The description is that of the file, and the file has not changed since it was asked for."""
        if description == self._description and description in map(str.strip, answer.lines):
            self._confirmed()

    def _confirmed(self) -> None:
        self._confirm_at = None
        self._solved()
        shown = {one.peer for one in self.neighbors}
        wanted = {one.peer for one in self._wanted or ()}
        for peer in self._leaving:
            self._speaker.stay(peer)
            if peer not in shown | wanted:
                self._speaker.forget(peer)
        self._leaving = {}
        log.info("exabgp has the wanted neighbours", peers=len(shown))

    def _found(self, answer: Answer, only: frozenset[IPAddress] | None) -> None:
        """What ExaBGP has: its sessions, as events, and all their routes again."""
        for one in self._shown(answer) or ():
            if only is not None and one.peer not in only:
                continue
            for event in as_events(one):
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
