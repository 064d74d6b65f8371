"""Which nodes there are, kept on this host for the day on which the store went back (datastore/roster.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.datastore.model import NodeName
from felix_py.kernel.model import Link
from felix_py.runtime.schedule import Interval

log = structlog.get_logger(__name__)

LEAST_SECONDS = 1.0
"""Between two writes of the file: nodes of a new fleet come one by one."""


class RosterManager:
    """Implements managers.manager.Manager. Nothing is decided while the store is not trusted."""

    name = "roster"

    def __init__(self, write: Callable[[frozenset[NodeName]], None]) -> None:
        self._write = write
        self._wanted: frozenset[NodeName] = frozenset()
        self._written: frozenset[NodeName] = frozenset()
        self._pause = Interval(LEAST_SECONDS)

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """Nodes may have come or gone."""
        if dirty.everything or dirty.nodes:
            self._wanted = frozenset(snapshot.nodes)

    def apply(self, now: float, links: Sequence[Link], *, sweep: bool) -> bool:
        """Write the names when they are others. A disk that refuses is tried again."""
        del links, sweep
        if self._wanted == self._written or not self._wanted or not self._pause.due(now):
            return True
        try:
            self._write(self._wanted)
        except OSError as error:
            log.warning("which nodes there are cannot be kept", reason=str(error))
            return False
        self._written = self._wanted
        return True

    def report(self) -> Mapping[str, object]:
        """Its part of the status document."""
        return {"nodes": len(self._written)}

    def warnings(self) -> Sequence[str]:
        """None."""
        return ()
