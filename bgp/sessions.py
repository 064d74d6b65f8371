"""The sessions of this node: ExaBGP's events to RIB and speaker, peerings and announcements to ExaBGP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from bgp.calc.announcements import Announced, for_session
from bgp.dialogue import Dialogue
from bgp.exabgp_process import ExabgpProcess
from bgp.model import (
    Acknowledged,
    Attributes,
    Event,
    Family,
    IPAddress,
    IPNetwork,
    NotificationSeen,
    PeerDown,
    Peering,
    PeerUp,
    RelayAttached,
    Reply,
    ShuttingDown,
    Unreadable,
)
from bgp.rib_in import RibIn
from bgp.speaker import Speaker
from bgp.wire import refresh_line

log = structlog.get_logger(__name__)


class Sessions:
    """Keeps ExaBGP's sessions and what they say as decided. One thread owns it."""

    def __init__(
        self, rib: RibIn, dialogue: Dialogue, speaker: Speaker, now: Callable[[], float]
    ) -> None:
        self._rib = rib
        self._dialogue = dialogue
        self._speaker = speaker
        self._now = now
        self._exabgp: ExabgpProcess | None = None
        self._peerings: dict[IPAddress, Peering] = {}
        self._announced: Announced | None = None
        self.unreadable = 0
        """Lines of ExaBGP that could not be understood."""

    def drive(self, exabgp: ExabgpProcess) -> None:
        """The process these sessions are kept in; it hands its findings to `handle`."""
        self._exabgp = exabgp

    @property
    def peerings(self) -> Mapping[IPAddress, Peering]:
        """The sessions there should be."""
        return self._peerings

    @property
    def problem(self) -> str:
        """What keeps ExaBGP from having the wanted sessions; empty: nothing."""
        return "" if self._exabgp is None else self._exabgp.problem

    @property
    def attached(self) -> bool:
        """ExaBGP can be spoken to."""
        return self._dialogue.attached

    def spoken_to(self, peer: IPAddress) -> bool:
        """The peer has heard everything, End-of-RIB included."""
        return self._speaker.settled(peer)

    def handle(self, event: Event) -> None:
        """Take in one event of ExaBGP, in order."""
        now = self._now()
        match event:
            case Acknowledged():
                self._speaker.acknowledged(event.ok)
                return
            case Reply():
                self._dialogue.reply(event.text)
                return
            case Unreadable():
                self.unreadable += 1
                log.warning("exabgp said something unknown", text=event.text, reason=event.why)
                return
            case _:
                self._rib.handle(event, now)
        match event:
            case RelayAttached():
                log.info("exabgp attached", pid=event.exabgp_pid, lost=event.lost)
                if self._exabgp is not None:
                    self._exabgp.attached(event, now)
            case PeerUp():
                log.info("session up", peer=str(event.peer))
                self._speaker.session_up(event.peer, self._families(event.peer))
            case PeerDown():
                if self._speaker.is_up(event.peer):
                    log.warning("session down", peer=str(event.peer), reason=event.reason)
                self._speaker.session_down(event.peer)
            case NotificationSeen():
                log.warning(
                    "notification",
                    peer=str(event.peer),
                    code=event.code,
                    subcode=event.subcode,
                    sent=event.sent,
                )
            case ShuttingDown():
                log.warning("exabgp ends")
            case _:
                pass

    def relay_away(self) -> None:
        """The relay is not connected."""
        if self._dialogue.attached:
            self._dialogue.detach()
        self._rib.relay_away(self._now())

    def want(self, peerings: Iterable[Peering], listen_port: int) -> None:
        """All the sessions there should be from now on."""
        now = {peering.peer: peering for peering in peerings}
        changed = [p for peer, p in now.items() if self._peerings.get(peer) != p]
        new = now.keys() - self._peerings.keys()
        self._peerings = now
        self._rib.expect(now.values(), self._now())
        self._say(changed)
        if self._exabgp is not None:
            self._exabgp.want(tuple(now.values()), listen_port)
            self._exabgp.find(new)  # one that just left may still have its session

    def say(self, announced: Announced) -> None:
        """What every peer should hear from now on."""
        if announced != self._announced:
            self._announced = announced
            self._say(self._peerings.values())

    def step(self) -> None:
        """Speak, ask, reload: what is due."""
        for peer, family in self._rib.take_refreshes():
            if self._speaker.is_up(peer):
                self._dialogue.ask(refresh_line(peer, family))
        self._speaker.flush()
        if self._exabgp is not None:
            self._exabgp.step(self._now())

    def _families(self, peer: IPAddress) -> tuple[Family, ...]:
        """Those that both sides speak."""
        peering = self._peerings.get(peer)
        known = self._rib.peers().get(peer)
        if peering is None:
            return ()
        if known is None or known.opened is None:
            return peering.families
        return tuple(family for family in peering.families if family in known.opened.families)

    def _say(self, peerings: Iterable[Peering]) -> None:
        """Peers that hear the same share one mapping."""
        if self._announced is None:
            return
        shared: dict[tuple[object, ...], dict[IPNetwork, Attributes]] = {}
        for peering in peerings:
            key = (peering.local, peering.second, peering.external, peering.families)
            if key not in shared:
                shared[key] = for_session(peering, self._announced)
            self._speaker.set(peering.peer, shared[key])
