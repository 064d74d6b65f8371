"""Driver: keeps our nftables tables as wanted, and puts them right when somebody changed them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.nft_command import NftAway, NftRefused
from felix_py.kernel.nft_model import NftNews, NftTable, TableName
from felix_py.kernel.nft_script import changes, whole
from felix_py.runtime.schedule import Interval

log = structlog.get_logger(__name__)

OWN_REMEMBERED = 256
"""Numbers of our own transactions kept until netlink tells of them; an older one counts as somebody
else's, which costs one writing of the tables."""
REPAIR_SECONDS = 0.2
"""Tables are written whole at most this often: somebody who changes them without end gets no storm."""


class Nft(Protocol):
    """What the driver needs of nft (nft_command.py)."""

    def apply(self, script: str) -> None:
        """Commit a script, all or nothing. Raises NftRefused, NftAway."""
        ...

    def tables(self) -> frozenset[TableName]:
        """Every table there is, whoever owns it. Raises NftRefused, NftAway."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """What one call did. `repaired`: the tables were put where they had been missing or changed, so
    that packets may have passed without them."""

    changed: bool = False
    repaired: bool = False


class NftTables:
    """Compares what is wanted with what it wrote last; never lists what the kernel holds.

    Things that this class is shaped by:
    - `nft flush ruleset` by a firewall's service takes everybody's tables; chains may be edited, too:
      netlink tells which tables a transaction touched, and any of ours that was not our doing makes
      us write them whole. That is one transaction, so packets never meet a gap;
    - our own transactions are known by the ruleset's number before and after: when it rose by more
      than one, somebody else's is among them and the tables are written again;
    - a fresh process cannot know what stands there: it writes everything, once;
    - netlink may lose events: the reader says so, and a number that nobody told of says so too;
    - writing 6,000 elements takes 50 ms, one element 5 ms: sets change by elements.
    """

    def __init__(self, nft: Nft, generation: Callable[[], int]) -> None:
        """`generation` reads the ruleset's number. Raises KernelRefused."""
        self._nft = nft
        self._generation = generation
        self._wanted: tuple[NftTable, ...] = ()
        self._stands: tuple[NftTable, ...] | None = None
        self._own: deque[int] = deque(maxlen=OWN_REMEMBERED)
        self._told = 0
        self._untold: int | None = None
        self._suspected = False
        self._whole = Interval(REPAIR_SECONDS)
        self.failure: str | None = None
        """Why the kernel does not hold what is wanted; None: nothing is wrong."""

    @property
    def stand(self) -> bool:
        """The kernel holds what is wanted, as far as anybody told us."""
        return self._stands == self._wanted and not self._suspected

    def want(self, tables: Sequence[NftTable]) -> None:
        """All our tables, whole. Replaces what was wanted."""
        self._wanted = tuple(tables)

    def note(self, news: NftNews) -> None:
        """Transactions that netlink told of, our own among them."""
        ours = {table.key for table in self._wanted}
        suspected = news.lost
        for transaction in news.transactions:
            self._told = transaction.generation
            if transaction.generation in self._own:
                self._own.remove(transaction.generation)
            elif not ours.isdisjoint(transaction.tables):
                suspected = True
        if suspected:
            self._suspected = True

    def sweep(self) -> None:
        """Seldom: a number of which nobody told twice running means that events are missing."""
        try:
            now = self._generation()
        except KernelRefused:
            return
        untold = now if now != self._told else None
        if untold is not None and untold == self._untold:
            self._told = now
            self._suspected = True
            log.warning("the ruleset changed and nobody told, our tables are written again")
        self._untold = untold

    def apply(self, now: float) -> Written:
        """Bring the kernel to what is wanted. What could not be done is in `failure`; try again."""
        if self.stand:
            return Written()
        known = None if self._suspected else self._stands
        script = None if known is None else changes(known, self._wanted)
        if script is None and not self._whole.due(now):
            return Written()
        try:
            repairing = self._suspected or (known is None and self._some_missing())
            self._commit(whole(self._wanted) if script is None else script)
        except (NftRefused, NftAway, KernelRefused) as error:
            self._suspected = True
            self.failure = str(error)
            log.warning("nftables not as wanted", reason=self.failure)
            return Written()
        self.failure = None
        if script is None:
            log.info("nftables written", repaired=repairing)
        return Written(changed=True, repaired=repairing)

    def _some_missing(self) -> bool:
        return not {table.key for table in self._wanted} <= self._nft.tables()

    def _commit(self, script: str) -> None:
        before = self._generation()
        # While its outcome is unknown, nothing is.
        self._stands = None
        self._nft.apply(script)
        self._stands = self._wanted
        after = self._generation()
        self._suspected = False
        if after == before + 1:
            self._own.append(after)
