"""What can go wrong when an address is asked for or given back, in the runtime's three kinds."""

from __future__ import annotations

from felix_py.datastore.model import PoolName
from felix_py.runtime.errors import RefusedError, StaleError, TransientError


class BadRequest(RefusedError):
    """A field of the request cannot be meant: the text names it."""


class NoQualifiedPool(RefusedError):
    """No enabled pool serves this node, family and use."""


class PoolExhausted(RefusedError):
    """The pools that qualify have no free address that this node may take.

    `searched`: the pools in which every block was looked at; empty when that was not needed.
    """

    def __init__(self, text: str, searched: tuple[PoolName, ...] = ()) -> None:
        super().__init__(text)
        self.searched = searched


class BlockLimitReached(RefusedError):
    """The node may not claim another block (maxBlocksPerHost)."""


class AddressTaken(RefusedError):
    """The address asked for is held by another handle."""


class NotInPool(RefusedError):
    """The address asked for lies in no enabled pool."""


class NotYours(RefusedError):
    """The address or block belongs to somebody else (wrong handle, strict affinity)."""


class StaleLease(StaleError):
    """The release names an older lease of the address than the present one (sequence number)."""


class Frozen(TransientError):
    """No address decision now: the store went back or is not ready. Try again later."""


class GaveUp(TransientError):
    """The bounded retries are used up or the time is over; nothing was assigned."""
