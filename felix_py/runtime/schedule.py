"""When to try again: pure arithmetic on instants that the caller passes in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Doubling delays between a first and a longest one; success starts over."""

    first_seconds: float
    longest_seconds: float
    _failures: int = 0

    def failed(self) -> float:
        """Count one more failure; the seconds to wait before the next try."""
        exponent = min(self._failures, 30)
        self._failures += 1
        return min(self.longest_seconds, self.first_seconds * float(2**exponent))

    def succeeded(self) -> None:
        """Forget the failures."""
        self._failures = 0


@dataclass(slots=True)
class Interval:
    """Something that is due every so many seconds, the first time at once."""

    period_seconds: float
    _due_at: float | None = field(default=None)

    def due(self, now: float) -> bool:
        """True when the period has passed; starts the next period when it is."""
        if self._due_at is not None and now < self._due_at:
            return False
        self._due_at = now + self.period_seconds
        return True

    def wait_seconds(self, now: float) -> float:
        """Seconds until it is due; 0 when it is."""
        return 0.0 if self._due_at is None else max(0.0, self._due_at - now)

    def hurry(self) -> None:
        """Make it due at once."""
        self._due_at = None


@dataclass(slots=True)
class Retry:
    """One outstanding retry with a backoff: due at an instant, or not wanted at all."""

    backoff: Backoff
    _at: float | None = None

    def record(self, now: float, *, failed: bool) -> None:
        """Note how the last try went."""
        if failed:
            self._at = now + self.backoff.failed()
        else:
            self.backoff.succeeded()
            self._at = None

    def due(self, now: float) -> bool:
        """True when a retry is wanted and its time has come."""
        return self._at is not None and now >= self._at

    def wait_seconds(self, now: float, otherwise: float) -> float:
        """Seconds until the retry, or `otherwise` when none is wanted."""
        return otherwise if self._at is None else max(0.0, min(otherwise, self._at - now))
