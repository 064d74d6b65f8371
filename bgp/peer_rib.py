"""What is known of one peer: its paths and where its session stands. rib_in.py alone changes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bgp.model import Family, IPNetwork, Path, Peering, PeerOpened


@dataclass(slots=True)
class Peer:
    """What is known of one peer."""

    peering: Peering
    paths: dict[IPNetwork, Path] = field(default_factory=dict)
    stale: set[IPNetwork] = field(default_factory=set)
    up: bool = False
    opened: PeerOpened | None = None
    notified: bool = False
    complete: set[Family] = field(default_factory=set)
    """Families whose End-of-RIB came, since the session came up."""
    sweep_at: float | None = None
    not_stored: int = 0
    reason: str = ""
    changed_at: float = 0.0

    @property
    def families(self) -> tuple[Family, ...]:
        """Those that both sides speak, as far as is known: no other gets an End-of-RIB."""
        if self.opened is None:
            return self.peering.families
        return tuple(f for f in self.peering.families if f in self.opened.families)
