"""Time as a port: monotonic seconds for decisions, wall time only for what people read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a daemon takes the time from."""

    def now(self) -> float:
        """Monotonic seconds; only differences mean anything."""
        ...

    def wall(self) -> datetime:
        """UTC, aware; for values that people or other systems read."""
        ...


class SystemClock:
    """The host's clocks."""

    def now(self) -> float:
        """CLOCK_MONOTONIC in seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """CLOCK_REALTIME as an aware UTC datetime."""
        return datetime.now(UTC)


@dataclass(slots=True)
class FakeClock:
    """A clock that moves only when told to."""

    seconds: float = 0.0
    started_at: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def now(self) -> float:
        """The seconds set so far."""
        return self.seconds

    def wall(self) -> datetime:
        """A fixed instant plus the seconds set so far."""
        return datetime.fromtimestamp(self.started_at.timestamp() + self.seconds, tz=UTC)

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds."""
        self.seconds += seconds
