"""Tells which nodes are not reached as their pools ask. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from felix_py.agent.calc import ways
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.kernel.model import Link
from felix_py.runtime.schedule import Interval

LOOK_SECONDS = 1.0
"""At most this often: with thousands of nodes one look takes tens of milliseconds."""


class WayReporter:
    """Implements managers.manager.Manager."""

    name = "ways"

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._complaints: tuple[str, ...] = ()
        self._look = Interval(LOOK_SECONDS)

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """Nodes, pools, configuration or blocks are others."""
        if dirty.everything or dirty.nodes or dirty.remotes or dirty.all_remotes:
            self._snapshot = snapshot

    def apply(self, now: float, links: Sequence[Link], *, sweep: bool) -> bool:
        """Look again, when something changed and it is time."""
        del links, sweep
        if self._snapshot is not None and self._look.due(now):
            self._complaints = tuple(ways.complaints(self._snapshot))
            self._snapshot = None
        return True

    def report(self) -> Mapping[str, object]:
        """Its part of the status document."""
        return {"notAsAsked": len(self._complaints)}

    def warnings(self) -> Sequence[str]:
        """The nodes and why."""
        return self._complaints
