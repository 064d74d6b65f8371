"""Liveness and readiness of a daemon, fed by its main loops."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import structlog

from felix_py.runtime.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """live: every loop came round in time; ready: nothing is missing; why: what is wrong, by name;
    late: the part of it that a restart cures."""

    live: bool
    ready: bool
    why: dict[str, str]
    late: dict[str, str] = field(default_factory=dict)


class Health:
    """Loops say `beat` each time round and `ready`/`not_ready` with a reason per concern."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._deadlines: dict[str, float] = {}
        self._missing: dict[str, str] = {}

    def beat(self, loop: str, within_seconds: float) -> None:
        """This loop is alive and will say so again within so many seconds."""
        with self._lock:
            self._deadlines[loop] = self._clock.now() + within_seconds

    def not_ready(self, concern: str, reason: str) -> None:
        """Something that readiness needs is missing."""
        with self._lock:
            news = concern not in self._missing
            self._missing[concern] = reason
        if news:
            log.warning("not ready", concern=concern, reason=reason)

    def ready(self, concern: str) -> None:
        """What was missing is there."""
        with self._lock:
            was = self._missing.pop(concern, None)
        if was is not None:
            log.info("ready", concern=concern, was=was)

    def note(self, concern: str, reason: str | None) -> None:
        """How a concern stands: a reason, or nothing is missing."""
        if reason is None:
            self.ready(concern)
        else:
            self.not_ready(concern, reason)

    def report(self) -> HealthReport:
        """The state right now."""
        with self._lock:
            now = self._clock.now()
            late = {
                name: "has not come round in time"
                for name, at in self._deadlines.items()
                if at < now
            }
            return HealthReport(
                live=not late,
                ready=not late and not self._missing,
                why={**self._missing, **late},
                late=late,
            )
