"""Pure: how long something has been missing, and whether so much is missing that a list is to be doubted.

A list may lack what exists: an API server whose cache is behind, a store that was restored in part. Who
releases what a list lacks takes addresses from the living. So what a watch did not see being deleted
counts as lost, and when more than a fifth of all that is known is lost at once nothing is released at all
until the list is whole again, or an operator deletes the objects. A single loss is left to the direct read.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

ALARM_FRACTION = 0.2

K = TypeVar("K", bound=Hashable)


class Absences(Generic[K]):
    """Since when each is missing, on a monotonic clock in seconds. A restart forgets, and waits again."""

    def __init__(self) -> None:
        self._since: dict[K, float] = {}

    def note(self, key: K, now: float, *, missing: bool) -> None:
        """How it stands with this one."""
        if missing:
            self._since.setdefault(key, now)
        else:
            self._since.pop(key, None)

    def begin_again(self, key: K, now: float) -> None:
        """It was found after all, or could not be released: wait once more."""
        self._since[key] = now

    def due(self, now: float, grace_seconds: float) -> Iterator[K]:
        """Those that have been missing for so long."""
        return iter([key for key, at in self._since.items() if now - at >= grace_seconds])

    def __iter__(self) -> Iterator[K]:
        """All that is missing."""
        return iter(list(self._since))


def alarm(what: str, known: int, lost: int) -> str:
    """Why nothing is released; empty: nothing is to be doubted."""
    if lost < 2 or lost <= known * ALARM_FRACTION:
        return ""
    return (
        f"Kubernetes lists {lost} of the {known} {what} in etcd no more, and nobody saw them being "
        "deleted: nothing is released; look at the API server, or delete what is gone with felixctl"
    )
