"""Answers of ExaBGP's `show` commands to typed values: which neighbours it has, what it announces.

ExaBGP's own tables are the truth about what was said: they survive our restart, and it says all of
it again by itself after a session flap. So nothing of it is kept in files of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

import msgspec

from bgp.model import (
    Attributes,
    Event,
    Family,
    IPAddress,
    IPNetwork,
    PeerDown,
    Peering,
    PeerOpened,
    PeerUp,
)

SHOW_NEIGHBORS = "show neighbor json"
"""Answered by one line: a JSON array."""
ASSUMED_RESTART_SECONDS = 120
"""`show neighbor json` says whether a peer restarts gracefully, not for how long. So after a start of
ours a peer that goes is waited for so long at most (rib_in.MAX_STALE_SECONDS), whatever it offered."""


def show_announced(peer: IPAddress | None) -> str:
    """The command that lists what ExaBGP holds for this peer, None: for all of them.

    ExaBGP compares addresses by their beginning: 10.0.0.1 also lists 10.0.0.10, so the answer's
    own addresses must be looked at.
    """
    return "show adj-rib out json" if peer is None else f"show adj-rib out {peer} json"


def show_configuration(peer: IPAddress) -> str:
    """The command that shows one neighbour, and those whose address begins alike, as ExaBGP loaded it."""
    return f"show neighbor {peer} configuration"


@dataclass(frozen=True, slots=True)
class NeighborShown:
    """A neighbour that ExaBGP has: what identifies it, and whether the session is up."""

    peer: IPAddress
    local: IPAddress
    local_as: int
    peer_as: int
    hold_seconds: int
    established: bool
    families: frozenset[Family]
    """Those negotiated; empty while the session is down."""
    graceful: bool
    """The peer announced graceful restart."""


class _Side(msgspec.Struct, rename={"asn": "as"}):
    address: str
    asn: int
    hold: int | None = None
    families: dict[str, bool | None] = {}
    capabilities: dict[str, bool | None] = {}


class _Neighbor(msgspec.Struct):
    fsm: str
    local: _Side
    peer: _Side


class _Peer(msgspec.Struct):
    address: str


class _Nlri(msgspec.Struct):
    prefix: str


class _Segment(msgspec.Struct):
    value: list[int]


class _Attributes(msgspec.Struct, rename="kebab"):
    next_hop: str = ""
    as_path: dict[str, _Segment] = {}
    local_preference: int | None = None
    med: int | None = None
    community: list[str] = []
    large_community: list[str] = []


class _NlriWithHop(_Nlri):
    nexthop: str | None = None


class _Route(msgspec.Struct):
    nlri: _NlriWithHop
    attributes: _Attributes


class _Announced(msgspec.Struct):
    peer: _Peer
    route: _Route


_decode_neighbors = msgspec.json.Decoder(list[_Neighbor]).decode
_decode_announced = msgspec.json.Decoder(_Announced).decode


def parse_neighbors(lines: Iterable[str]) -> tuple[NeighborShown, ...]:
    """The answer to SHOW_NEIGHBORS. Raises ValueError when it is none.

    The last array counts: one that was meant for an agent before us may stand before it.
    """
    for line in reversed(tuple(lines)):
        if line.startswith("["):
            return tuple(map(_neighbor, _decode_neighbors(line)))
    raise ValueError("no array in the answer to `show neighbor json`")


def parse_announced(
    lines: Iterable[str],
) -> dict[IPAddress, dict[IPNetwork, Attributes]]:
    """The answer to `show_announced`, per peer. Raises ValueError when a line is not a route."""
    found: dict[IPAddress, dict[IPNetwork, Attributes]] = {}
    for line in lines:
        entry = _decode_announced(line)
        prefix = _network(entry.route.nlri.prefix)
        routes = found.setdefault(ip_address(entry.peer.address), {})
        routes[prefix] = _attributes(entry.route)
    return found


def are_shown(peerings: Iterable[Peering], shown: Iterable[NeighborShown]) -> bool:
    """ExaBGP has just these neighbours, as far as `show neighbor json` tells."""
    wanted = {(p.peer, p.local, p.local_as, p.peer_as, p.hold_seconds) for p in peerings}
    return wanted == {(n.peer, n.local, n.local_as, n.peer_as, n.hold_seconds) for n in shown}


def as_events(shown: NeighborShown) -> Iterable[Event]:
    """What would have been heard of this neighbour, had we listened from the beginning."""
    if not shown.established:
        return (PeerDown(shown.peer, "found down"),)
    seconds = ASSUMED_RESTART_SECONDS if shown.graceful else None
    kept = shown.families if shown.graceful else frozenset()
    opened = PeerOpened(shown.peer, shown.peer_as, shown.families, seconds, kept, restarting=False)
    return (opened, PeerUp(shown.peer))


def _neighbor(shown: _Neighbor) -> NeighborShown:
    families = frozenset(family for family in Family if shown.peer.families.get(family.value))
    return NeighborShown(
        peer=ip_address(shown.peer.address),
        local=ip_address(shown.local.address),
        local_as=shown.local.asn,
        peer_as=shown.peer.asn,
        hold_seconds=shown.local.hold or 0,
        established=shown.fsm == "ESTABLISHED",
        families=families,
        graceful=bool(shown.peer.capabilities.get("graceful-restart")),
    )


def _attributes(route: _Route) -> Attributes:
    shown = route.attributes
    return Attributes(
        next_hop=route.nlri.nexthop or shown.next_hop,
        as_path=tuple(asn for part in shown.as_path.values() for asn in part.value),
        local_preference=shown.local_preference,
        med=shown.med,
        communities=(*shown.community, *shown.large_community),
    )


def _network(text: str) -> IPNetwork:
    return IPv6Network(text) if ":" in text else IPv4Network(text)
