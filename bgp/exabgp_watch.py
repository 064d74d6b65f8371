"""Whether ExaBGP still answers: a frozen one is killed through the launcher, which starts another.

A blocked ExaBGP ignores SIGTERM and sends no keepalives; its peers would notice at the end of the
hold time. Asked often enough, its silence shows within a third of that.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from bgp.dialogue import Dialogue
from bgp.launcher_client import LauncherAway, LauncherClient

log = structlog.get_logger(__name__)

SHORTEST_PATIENCE_SECONDS = 2.0
UNREACHABLE_SECONDS = 15.0
"""A running ExaBGP whose relay cannot be reached for so long is as good as frozen."""
KILL_EVERY_SECONDS = 2.0
"""Between two requests to the launcher."""


class Watch:
    """Asks `version` when nothing else is asked, and kills what owes an answer for too long."""

    def __init__(
        self, dialogue: Dialogue, launcher: LauncherClient, connected: Callable[[], bool]
    ) -> None:
        self._dialogue = dialogue
        self._launcher = launcher
        self._connected = connected
        self._pid: int | None = None
        self._asked_at = 0.0
        self._reached_at: float | None = None
        self._kill_after = 0.0
        self.kills = 0

    def attached(self, exabgp_pid: int, now: float) -> None:
        """The relay of this ExaBGP greeted us."""
        self._pid = exabgp_pid
        self._reached_at = now
        self._asked_at = now

    def step(self, now: float, patience_seconds: float) -> None:
        """Notice a frozen ExaBGP; patience: how long it may owe an answer."""
        patience = max(SHORTEST_PATIENCE_SECONDS, patience_seconds)
        if not self._connected():
            self._unreachable(now)
            return
        self._reached_at = now
        if not self._dialogue.attached:
            return
        if self._dialogue.idle and now >= self._asked_at + patience / 2:
            self._asked_at = now
            self._dialogue.ask("version", alone=True)
        if self._dialogue.silent_seconds() > patience and now >= self._kill_after:
            self._kill_after = now + KILL_EVERY_SECONDS
            self.kill("it does not answer")

    def kill(self, reason: str) -> None:
        """Have the launcher kill the ExaBGP that we speak with."""
        if self._pid is None:
            return
        try:
            killed = self._launcher.kill(self._pid)
        except LauncherAway as error:
            log.warning("exabgp stays, launcher away", reason=reason, error=str(error))
            return
        self.kills += killed
        log.warning("exabgp killed", pid=self._pid, reason=reason, done=killed)

    def _unreachable(self, now: float) -> None:
        if self._reached_at is None:
            self._reached_at = now
        if now < self._reached_at + UNREACHABLE_SECONDS or now < self._kill_after:
            return
        self._kill_after = now + UNREACHABLE_SECONDS
        try:
            status = self._launcher.status()
        except LauncherAway as error:
            log.warning("neither relay nor launcher can be reached", error=str(error))
            return
        if status.pid is not None and status.running_seconds >= UNREACHABLE_SECONDS:
            self._pid = status.pid
            self.kill("its relay cannot be reached")
