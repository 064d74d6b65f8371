"""Driver: one nftables table that is read, compared and changed piece by piece (nft_pieces.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from felix_py.kernel.nft_pieces import FAMILY, Pieces, removal, script_for, standing_of
from felix_py.runtime.errors import RefusedError, TransientError

log = structlog.get_logger(__name__)


class Nft(Protocol):
    """What the driver needs of nft (nft_command.py)."""

    def apply(self, script: str) -> None:
        """Commit a script, all or nothing. Raises RefusedError, TransientError."""
        ...

    def table(self, family: str, name: str) -> Sequence[Mapping[str, Any]] | None:
        """A table as nft's JSON lists it; None: there is none. Raises RefusedError, TransientError."""
        ...


class PiecesTable:
    """Keeps a table as wanted; a fresh process takes over what stands. One thread.

    The table's name is the mark: nobody else's rules belong into it, and what stands there besides
    ours goes only when its name says that it is one of our chains.
    """

    def __init__(self, nft: Nft, name: str, touched: Callable[[], bool] = lambda: False) -> None:
        """touched: whether anybody changed the table since it was last asked; our own changes count too
        and cost one more reading."""
        self._nft = nft
        self._name = name
        self._touched = touched
        self._wanted: Pieces | None = None
        self._settled: object = ()
        self.failure: str | None = None
        """Why the kernel does not hold what is wanted; None: nothing is wrong."""

    def want(self, pieces: Pieces | None) -> None:
        """The table as it should be; None: no table."""
        self._wanted = pieces

    def apply(self, *, sweep: bool) -> bool:
        """Read and put right, when something else is wanted or (sweep) may stand; False: try again."""
        look = self._touched() or sweep
        if self._wanted == self._settled and not (look and self._wanted is not None):
            return True
        try:
            self._put_right()
        except (RefusedError, TransientError) as error:
            self.failure, self._settled = str(error), ()
            log.warning("nftables not as wanted", table=self._name, reason=self.failure)
            return False
        self.failure, self._settled = None, self._wanted
        return True

    def _put_right(self) -> None:
        listed = self._nft.table(FAMILY, self._name)
        if self._wanted is None:
            script = removal(self._name) if listed is not None else ""
        else:
            stands = None if listed is None else standing_of(listed)
            script = script_for(self._wanted, stands)
        if script:
            self._nft.apply(script)
            log.info("nftables changed", table=self._name, lines=script.count("\n"))
