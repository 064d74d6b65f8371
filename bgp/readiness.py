"""Whether this node's BGP does its work, in one sentence if it does not. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bgp.status import SessionReport

FIRST_SECONDS = 30.0
"""After a start all sessions are waited for so long; then one that is up is enough."""


class Readiness:
    """Remembers when the sessions were decided first, and whether they once were as wanted.

    A rolling update goes on when a node is ready, so a fresh agent is not before its peers have heard
    everything. Later on one peer that goes away is that peer's trouble.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._complete = False

    def why_not(
        self, now: float, reports: Sequence[SessionReport], *, attached: bool, problem: str
    ) -> str | None:
        """attached: ExaBGP can be spoken to; problem: what it says of its configuration.

        A node without any peer needs no ExaBGP, and its launcher starts none.
        """
        if self._since is None:
            self._since = now
        if not reports:
            return problem or None
        if not attached:
            return "ExaBGP is not there; see the log of its launcher"
        waiting = [report for report in reports if not _is_up(report)]
        self._complete = self._complete or not waiting or now >= self._since + FIRST_SECONDS
        if not waiting or (self._complete and len(waiting) < len(reports)):
            return None
        if problem:
            return problem
        named = _reason(waiting[0])
        if self._complete:
            return f"none of {len(reports)} sessions is up: {named}"
        return f"{len(waiting)} of {len(reports)} sessions are not up yet: {named}"


def _is_up(report: SessionReport) -> bool:
    return report.peer is not None and report.peer.up and report.settled


def _reason(report: SessionReport) -> str:
    peer, peering = report.peer, report.peering
    if peer is not None and peer.up:
        return f"{peering.peer} has not heard everything"
    return f"{peering.peer} ({peering.source}) {(peer and peer.reason) or 'does not answer'}"
