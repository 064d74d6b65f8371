"""Received paths per peer: what is held when a session goes, and when what was held is swept.

ExaBGP keeps no policy and is no graceful-restart helper, so RFC 4724's receiving side (section 4.2) is here:
- a session that just breaks leaves its paths stale for the peer's restart time, at most
  MAX_STALE_SECONDS; one that ends with a NOTIFICATION takes them along at once;
- a peer that comes back without having kept its forwarding state loses what was stale of that family;
- what is still stale at the peer's End-of-RIB, or EOR_SECONDS after it came up, is swept;
- when events were lost, or ExaBGP itself went, everything is stale and asked for again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from bgp.calc.best_path import Candidate
from bgp.model import (
    EndOfRib,
    Event,
    Family,
    IPAddress,
    IPNetwork,
    NotificationSeen,
    Path,
    PathsReceived,
    PeerDown,
    Peering,
    PeerOpened,
    PeerUp,
    RefreshSeen,
    RelayAttached,
)
from bgp.peer_rib import Peer

MAX_STALE_SECONDS = 120.0
"""However long a peer says it needs: longer than this its traffic is not sent into the unknown."""
EOR_SECONDS = 60.0
"""A peer that is up but never sends End-of-RIB counts as complete after this."""
REFRESH_SECONDS = 30.0
"""An answer to a route refresh that has no visible end counts as complete after this."""
RELAY_AWAY_SECONDS = 5.0
"""A relay that is not back by then took ExaBGP with it, and with it every session."""
MAX_PATHS_PER_LIMIT = 4
"""Paths are remembered up to so many times a peer's prefix limit; more are counted, not stored, and the
peer is asked to send all again once it has withdrawn half of them."""


class RibIn:
    """The received paths. One thread owns it; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._peers: dict[IPAddress, Peer] = {}
        self._holders: dict[IPNetwork, tuple[Peer, ...]] = {}
        self._alone: dict[IPAddress, tuple[Peer, ...]] = {}
        self._dirty: dict[IPNetwork, None] = {}
        self._refresh: dict[tuple[IPAddress, Family], None] = {}
        self._exabgp: int | None = None
        self._relay_away_at: float | None = None

    def expect(self, peerings: Iterable[Peering], now: float) -> None:
        """These are the sessions there should be; what others left is dropped.

        The paths of a session that changed are dirty: they are judged by other rules now.
        """
        wanted = {peering.peer: peering for peering in peerings}
        for gone in [peer for peer in self._peers if peer not in wanted]:
            self._drop(self._peers[gone], list(self._peers[gone].paths))
            del self._peers[gone]
            self._alone.pop(gone, None)
        for address, peering in wanted.items():
            peer = self._peers.get(address)
            if peer is None:
                peer = self._peers[address] = Peer(peering, changed_at=now)
                self._alone[address] = (peer,)
            elif peer.peering != peering:
                peer.peering = peering
                self._dirty.update(dict.fromkeys(peer.paths))

    def handle(self, event: Event, now: float) -> None:
        """Take in one event, in the order in which ExaBGP told them."""
        if isinstance(event, RelayAttached):
            self._attached(event, now)
            return
        address = getattr(event, "peer", None)
        peer = None if address is None else self._peers.get(address)
        if peer is None or address is None:
            return
        match event:
            case PathsReceived():
                self._received(address, peer, event)
            case PeerOpened() if peer.opened is None or not peer.up:
                peer.opened = event  # while up: another connection's, or what is only told anew
            case PeerUp():
                self._came_up(peer, now)
            case PeerDown():
                self._went_down(peer, event.reason, now)
            case EndOfRib():
                self._complete(peer, event.family)
            case NotificationSeen():
                peer.notified = True
                peer.reason = event.text or f"notification ({event.code},{event.subcode})"
            case RefreshSeen():
                self._refreshed(peer, event, now)
            case _:
                pass

    def tick(self, now: float) -> None:
        """Sweep what has been stale for too long."""
        away = self._relay_away_at
        if away is not None and now >= away + RELAY_AWAY_SECONDS:
            self._all_gone(now, "no word from ExaBGP")
        for peer in self._peers.values():
            if peer.sweep_at is not None and now >= peer.sweep_at:
                peer.sweep_at = None
                self._drop(peer, list(peer.stale))
                if peer.up:
                    peer.complete.update(peer.families)

    def relay_away(self, now: float) -> None:
        """Nobody passes on ExaBGP's events: a moment is nothing, longer means that ExaBGP went."""
        if self._relay_away_at is None:
            self._relay_away_at = now

    def paths_at(self, prefix: IPNetwork) -> dict[IPAddress, Path]:
        """The paths to one prefix by peer."""
        return {peering.peer: path for peering, path in self.candidates(prefix)}

    def candidates(self, prefix: IPNetwork) -> Sequence[Candidate]:
        """The paths to one prefix with the peerings they came by, in no order that means anything."""
        holders = self._holders.get(prefix, ())
        if len(holders) == 1:
            [peer] = holders
            return ((peer.peering, peer.paths[prefix]),)
        return [(peer.peering, peer.paths[prefix]) for peer in holders]

    def paths(self) -> Mapping[IPNetwork, Mapping[IPAddress, Path]]:
        """All paths, by prefix and peer."""
        return {prefix: self.paths_at(prefix) for prefix in self._holders}

    def prefixes(self) -> Iterable[IPNetwork]:
        """Every prefix that some peer has a path to."""
        return self._holders.keys()

    def peers(self) -> Mapping[IPAddress, Peer]:
        """Every expected peer; to be read only."""
        return self._peers

    def take_dirty(self) -> dict[IPNetwork, None]:
        """Prefixes whose paths changed since the last call, in the order of the changes."""
        taken, self._dirty = self._dirty, {}
        return taken

    def take_refreshes(self) -> list[tuple[IPAddress, Family]]:
        """Whom to ask to send everything again since the last call."""
        taken, self._refresh = self._refresh, {}
        return list(taken)

    def waiting_for(self) -> list[IPAddress]:
        """Expected peers that have not yet said all they know, by address."""
        return [
            address
            for address, peer in self._peers.items()
            if not peer.up or not peer.complete.issuperset(peer.families)
        ]

    def next_deadline(self) -> float | None:
        """When tick has something to do."""
        return min(
            (p.sweep_at for p in self._peers.values() if p.sweep_at is not None), default=None
        )

    def _attached(self, event: RelayAttached, now: float) -> None:
        """Sessions that are still up are told anew as PeerUp, and all their paths again."""
        before, self._exabgp = self._exabgp, event.exabgp_pid
        self._relay_away_at = None
        if before is not None and before != event.exabgp_pid:
            self._all_gone(now, "ExaBGP was restarted")

    def _all_gone(self, now: float, reason: str) -> None:
        for peer in self._peers.values():
            if peer.up:
                peer.up, peer.changed_at, peer.reason = False, now, reason
                peer.complete.clear()
                self._hold(peer, now)

    def _received(self, address: IPAddress, peer: Peer, event: PathsReceived) -> None:
        paths, stale, dirty = peer.paths, peer.stale, self._dirty
        if event.withdrawn:
            self._drop(peer, event.withdrawn)
            self._maybe_store_again(address, peer)
        for heard in event.announced:
            prefixes = self._room_for(peer, heard.prefixes)
            self._hold_by(peer, address, prefixes)
            paths.update(dict.fromkeys(prefixes, heard.path))
            dirty.update(dict.fromkeys(prefixes))
            if stale:
                stale.difference_update(prefixes)

    def _room_for(self, peer: Peer, prefixes: tuple[IPNetwork, ...]) -> Collection[IPNetwork]:
        """Those that are remembered; the others are counted."""
        paths = peer.paths
        most = max(peer.peering.max_prefixes, 1) * MAX_PATHS_PER_LIMIT
        room = most - len(paths)
        if len(prefixes) <= room:
            return prefixes
        kept: dict[IPNetwork, None] = {}
        for prefix in prefixes:
            if prefix not in paths and prefix not in kept:
                if not room:
                    peer.not_stored += 1
                    continue
                room -= 1
            kept[prefix] = None
        return kept

    def _hold_by(self, peer: Peer, address: IPAddress, prefixes: Collection[IPNetwork]) -> None:
        """The peer has a path to each of these; mostly nobody else has."""
        holders, alone = self._holders, self._alone[address]
        if holders.keys().isdisjoint(prefixes):
            holders.update(dict.fromkeys(prefixes, alone))
            return
        for prefix in prefixes:
            held = holders.setdefault(prefix, alone)
            if held is not alone and all(holder is not peer for holder in held):
                holders[prefix] = (*held, peer)

    def _maybe_store_again(self, address: IPAddress, peer: Peer) -> None:
        if (
            peer.not_stored
            and len(peer.paths) <= peer.peering.max_prefixes * MAX_PATHS_PER_LIMIT // 2
        ):
            peer.not_stored = 0
            self._refresh.update(((address, family), None) for family in peer.families)

    def _came_up(self, peer: Peer, now: float) -> None:
        """A session that was up already was only told anew: all its paths come again."""
        peer.notified, peer.reason, peer.not_stored = False, "", 0
        peer.complete.clear()
        if peer.up:
            peer.stale = set(peer.paths)
            peer.sweep_at = now + REFRESH_SECONDS
            return
        peer.up, peer.changed_at = True, now
        kept = peer.opened.forwarding_kept if peer.opened is not None else frozenset()
        versions = {family.version for family in kept}
        self._drop(peer, [p for p in peer.stale if p.version not in versions])
        peer.sweep_at = now + EOR_SECONDS

    def _went_down(self, peer: Peer, reason: str, now: float) -> None:
        if not peer.up:
            peer.reason = reason
            return
        peer.up, peer.changed_at = False, now
        peer.reason = peer.reason if peer.notified and peer.reason else reason
        peer.complete.clear()
        if peer.notified:
            self._drop(peer, list(peer.paths))
            peer.sweep_at = None
        else:
            self._hold(peer, now)

    def _hold(self, peer: Peer, now: float) -> None:
        """Keep paths as stale if both sides agreed on graceful restart, else drop them."""
        opened = peer.opened
        offered = opened.restart_seconds if opened is not None else None
        seconds = min(float(offered or 0), MAX_STALE_SECONDS) if peer.peering.restart_seconds else 0
        families = frozenset[Family]() if opened is None else opened.graceful
        if seconds <= 0:
            families = frozenset()
        if families is not None:
            held = {family.version for family in families}
            self._drop(peer, [prefix for prefix in peer.paths if prefix.version not in held])
        peer.stale = set(peer.paths)
        peer.sweep_at = now + seconds if peer.stale else None

    def _complete(self, peer: Peer, family: Family) -> None:
        self._drop(peer, [p for p in peer.stale if p.version == family.version])
        peer.complete.add(family)
        if peer.up and peer.complete.issuperset(peer.families):
            peer.sweep_at = None

    def _refreshed(self, peer: Peer, event: RefreshSeen, now: float) -> None:
        """RFC 7313: what is not sent between `begin` and `end` is gone."""
        if event.subtype == "begin":
            peer.stale.update(p for p in peer.paths if p.version == event.family.version)
            peer.sweep_at = now + REFRESH_SECONDS
        elif event.subtype == "end":
            self._complete(peer, event.family)

    def _drop(self, peer: Peer, prefixes: Iterable[IPNetwork]) -> None:
        for prefix in prefixes:
            peer.stale.discard(prefix)
            if peer.paths.pop(prefix, None) is None:
                continue
            self._dirty[prefix] = None
            left = tuple(holder for holder in self._holders[prefix] if holder is not peer)
            if left:
                self._holders[prefix] = left
            else:
                del self._holders[prefix]
