"""What can go wrong with the store, in the runtime's three kinds."""

from __future__ import annotations

from felix_py.runtime.errors import RefusedError, StaleError, TransientError


class LostRace(TransientError):
    """Something that a transaction compared had changed: read again, decide again."""


class StoreAway(TransientError):
    """No answer in time, or no leader. The outcome of a write that raised this is unknown."""


class RevisionCompacted(StaleError):
    """The revision asked for is compacted away: list again."""


class StoreWentBack(StaleError):
    """The store answers from a past we have already left (wiped, restored, another cluster)."""


class StoreRefused(RefusedError):
    """The store will not: permission, quota (NOSPACE), a request it calls invalid."""


class NotTheWriter(RefusedError):
    """The node's session key carries another machine's id: this machine is not that node."""
