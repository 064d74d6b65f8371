"""Pure: what the BGP agent says of itself, as a JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bgp.model import IPAddress, IPNetwork, Peering
from bgp.peer_rib import Peer
from felix_py.datastore.changes import StoreState
from felix_py.datastore.status_document import MAX_NAMED, Identity, head, invalid_objects

DAEMON = "bgp"


@dataclass(frozen=True, slots=True)
class SessionReport:
    """One session: what it should be, what is known of the peer, whether it has heard everything."""

    peering: Peering
    peer: Peer | None
    settled: bool
    over_limit: bool
    since: str = ""
    """UTC: when the session came up or went down."""


@dataclass(frozen=True, slots=True)
class RouteReport:
    """Learned routes and the kernel."""

    backend: str = "bgp"
    """The setting node.backend; with another one than bgp there are no sessions."""
    wanted: int = 0
    installed: int = 0
    adopting: bool = False
    waiting_for_felix: Iterable[IPNetwork] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, list[str]] = field(default_factory=dict)
    unresolved: Mapping[IPAddress, str] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Troubles:
    """What people should look at."""

    refused_peerings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    invalid: Mapping[str, str] = field(default_factory=dict)
    exabgp: str = ""


def document(
    identity: Identity,
    store: StoreState,
    sessions: Iterable[SessionReport],
    announced: Iterable[IPNetwork],
    routes: RouteReport,
    troubles: Troubles,
) -> dict[str, object]:
    """The whole status."""
    return {
        **head(identity, store),
        "backend": routes.backend,
        "exabgp": {"problem": troubles.exabgp},
        "sessions": [_session(report) for report in sessions],
        "refusedPeerings": [
            {"source": source, "reason": reason}
            for source, reason in sorted(troubles.refused_peerings.items())[:MAX_NAMED]
        ],
        "announced": sorted(map(str, announced)),
        "learned": _learned(routes),
        "invalid": invalid_objects(troubles.invalid),
        "warnings": list(troubles.warnings[:MAX_NAMED]),
    }


def _learned(routes: RouteReport) -> dict[str, object]:
    return {
        "wanted": routes.wanted,
        "installed": routes.installed,
        "adopting": routes.adopting,
        "waitingForFelix": [str(prefix) for prefix in routes.waiting_for_felix][:MAX_NAMED],
        "refused": [
            {"reason": reason, "paths": count, "examples": routes.examples.get(reason, [])}
            for reason, count in sorted(routes.refused.items())
        ],
        "unresolvedNextHops": [
            {"nextHop": str(hop), "reason": reason}
            for hop, reason in sorted(routes.unresolved.items(), key=lambda item: str(item[0]))
        ][:MAX_NAMED],
        "notWritten": [
            {"prefix": prefix, "reason": reason}
            for prefix, reason in sorted(routes.troubles.items())
        ],
    }


def _session(report: SessionReport) -> dict[str, object]:
    peering, peer = report.peering, report.peer
    return {
        "peer": str(peering.peer),
        "local": str(peering.local),
        "source": peering.source,
        "localAs": peering.local_as,
        "peerAs": peering.peer_as,
        "state": "up" if peer is not None and peer.up else "down",
        "since": report.since,
        "reason": "" if peer is None else peer.reason,
        "received": 0 if peer is None else len(peer.paths),
        "stale": 0 if peer is None else len(peer.stale),
        "notStored": 0 if peer is None else peer.not_stored,
        "overLimit": report.over_limit,
        "announcedAll": report.settled,
    }
