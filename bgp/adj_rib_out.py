"""What each peer should hear against what ExaBGP holds for it, and the difference as commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from bgp.command_lines import MAX_PREFIXES_PER_LINE
from bgp.model import Attributes, Family, IPAddress, IPNetwork


class Held(Enum):
    """How well we know what ExaBGP holds for a peer."""

    UNKNOWN = auto()
    ASKED = auto()
    KNOWN = auto()


@dataclass(slots=True)
class PeerOut:
    """One peer: wishes, what ExaBGP holds, what is on its way."""

    wanted: dict[IPNetwork, Attributes] | None = None
    leaving: bool = False
    sent: dict[IPNetwork, Attributes] = field(default_factory=dict)
    held: Held = Held.UNKNOWN
    up: bool = False
    dirty: bool = True
    eor_due: tuple[Family, ...] = ()
    in_flight: set[IPNetwork] = field(default_factory=set)
    eor_in_flight: int = 0
    session: int = 0
    """Counts sessions and attaches: an answer that belongs to an older one changes nothing."""
    ask_after: float = 0.0

    @property
    def desired(self) -> dict[IPNetwork, Attributes] | None:
        """What the peer should hear; nothing from a peering that ends."""
        return {} if self.leaving else self.wanted


@dataclass(frozen=True, slots=True)
class Change:
    """One command: `attributes` are the new ones, or for a withdrawal those announced."""

    withdraw: bool
    attributes: Attributes
    peers: tuple[IPAddress, ...]
    prefixes: tuple[IPNetwork, ...]


def changes(ready: Mapping[IPAddress, PeerOut]) -> Iterable[Change]:
    """The differences of all these peers, new before gone; peers with the same change share it."""
    announced: dict[tuple[Attributes, IPNetwork], list[IPAddress]] = {}
    withdrawn: dict[tuple[Attributes, IPNetwork], list[IPAddress]] = {}
    for peer, state in ready.items():
        desired = state.desired or {}
        for prefix, attributes in desired.items():
            if state.sent.get(prefix) != attributes and prefix not in state.in_flight:
                announced.setdefault((attributes, prefix), []).append(peer)
        for prefix, attributes in state.sent.items():
            if prefix not in desired and prefix not in state.in_flight:
                withdrawn.setdefault((attributes, prefix), []).append(peer)
    yield from _grouped(announced, withdraw=False)
    yield from _grouped(withdrawn, withdraw=True)


def _grouped(
    peers_of: Mapping[tuple[Attributes, IPNetwork], Sequence[IPAddress]], *, withdraw: bool
) -> Iterable[Change]:
    """One command takes one set of peers, one set of attributes and prefixes of one family."""
    groups: dict[tuple[tuple[IPAddress, ...], Attributes, int], list[IPNetwork]] = {}
    for (attributes, prefix), peers in peers_of.items():
        groups.setdefault((tuple(peers), attributes, prefix.version), []).append(prefix)
    for (named, attributes, _), prefixes in groups.items():
        for start in range(0, len(prefixes), MAX_PREFIXES_PER_LINE):
            chunk = tuple(prefixes[start : start + MAX_PREFIXES_PER_LINE])
            yield Change(withdraw, attributes, named, chunk)
