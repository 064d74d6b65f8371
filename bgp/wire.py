"""ExaBGP's API language, version 5.0.15: a line from its pipe to typed events.

Measured traps that shape this module: acks and dumps share the stream with JSON events; an IPv6
UPDATE with a global and a link-local next hop lists every prefix twice; the labels of the graceful
restart flags are swapped; a NOTIFICATION that we sent shows only in the reason of the `down`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv6Address

import msgspec

from bgp.command_lines import announce_line, eor_line, refresh_line, withdraw_line
from bgp.model import (
    Acknowledged,
    EndOfRib,
    Event,
    Family,
    Heard,
    IPAddress,
    NotificationSeen,
    Path,
    PathsReceived,
    PeerDown,
    PeerOpened,
    PeerUp,
    RefreshSeen,
    RelayAttached,
    Reply,
    ShuttingDown,
    Unreadable,
)
from bgp.prefixes import PREFIX_OF, address, prefix

__all__ = ["announce_line", "eor_line", "parse_line", "refresh_line", "withdraw_line"]

MAX_QUOTED = 200
"""Characters of an unreadable line that are kept for the log."""

FAMILIES = {family.value: family for family in Family}
NOTIFICATION_SENT = re.compile(r"notification sent \((\d{1,3}),\s?(\d{1,3})\)")

_Nlri = list[str | dict[str, object]]


class _Hello(msgspec.Struct):
    epoch: str
    exabgp_pid: int
    lost: bool


class _Addresses(msgspec.Struct):
    peer: str


class _Segment(msgspec.Struct):
    value: list[int]


class _Attribute(msgspec.Struct, rename="kebab"):
    origin: str = "incomplete"
    as_path: dict[str, _Segment] = {}
    med: int | None = None
    local_preference: int | None = None
    community: list[list[int] | str] = []
    large_community: list[list[int]] = []
    originator_id: str = ""
    cluster_list: list[str] = []


class _Update(msgspec.Struct):
    attribute: _Attribute = msgspec.field(default_factory=_Attribute)
    announce: dict[str, dict[str, _Nlri]] = {}
    withdraw: dict[str, _Nlri] = {}


class _AfiSafi(msgspec.Struct):
    afi: str
    safi: str
    subtype: str = ""

    def family(self) -> Family | None:
        return FAMILIES.get(f"{self.afi} {self.safi}")


class _Message(msgspec.Struct):
    update: _Update | None = None
    eor: _AfiSafi | None = None


class _Open(msgspec.Struct):
    asn: int
    capabilities: dict[str, dict[str, object]] = {}


class _Notification(msgspec.Struct):
    code: int
    subcode: int
    message: str = ""


class _Neighbor(msgspec.Struct, rename="kebab"):
    address: _Addresses
    direction: str = "receive"
    state: str = ""
    reason: str = ""
    message: _Message | None = None
    open: _Open | None = None
    notification: _Notification | None = None
    route_refresh: _AfiSafi | None = None


class _Line(msgspec.Struct):
    exabgp: str = ""
    type: str = ""
    neighbor: _Neighbor | None = None
    notification: str = ""
    relay: _Hello | None = None


_decode = msgspec.json.Decoder(_Line).decode


def parse_line(line: str) -> tuple[Event, ...]:
    """One line, without its newline, to the events it holds, in order. Never raises.

    Lines that say nothing to us (`connected`, keepalives, families we do not speak) give ().
    What claims to be an event and cannot be understood as a whole gives one Unreadable.
    """
    if line in {"done", "error"}:
        return (Acknowledged(ok=line == "done"),)
    if not line.startswith("{"):
        return (Reply(line),) if line else ()
    try:
        decoded = _decode(line)
        if decoded.relay is not None:
            hello = decoded.relay
            return (RelayAttached(hello.epoch, hello.exabgp_pid, hello.lost),)
        if not decoded.exabgp:
            return (Reply(line),)
        return _event(decoded)
    except (ValueError, msgspec.MsgspecError) as error:
        return (Unreadable(line[:MAX_QUOTED], str(error)[:MAX_QUOTED]),)


def _event(line: _Line) -> tuple[Event, ...]:
    neighbor = line.neighbor
    if neighbor is None:
        return (ShuttingDown(),) if line.notification == "shutdown" else ()
    peer = address(neighbor.address.peer)
    if neighbor.message is not None:
        if neighbor.direction != "receive":
            return ()
        return _message(peer, neighbor.message)
    if neighbor.state:
        return _state(peer, neighbor.state, neighbor.reason)
    if neighbor.open is not None:
        return _opened(peer, neighbor.open) if neighbor.direction == "receive" else ()
    if neighbor.notification is not None:
        note = neighbor.notification
        sent = neighbor.direction != "receive"
        return (NotificationSeen(peer, note.code, note.subcode, note.message, sent),)
    refresh = neighbor.route_refresh
    family = refresh.family() if refresh is not None else None
    if refresh is None or family is None:
        return ()
    return (RefreshSeen(peer, family, refresh.subtype),)


def _state(peer: IPAddress, state: str, reason: str) -> tuple[Event, ...]:
    """`connected` also comes for refused connections and is followed by `down`: it says nothing."""
    if state == "up":
        return (PeerUp(peer),)
    if state != "down":
        return ()
    sent = NOTIFICATION_SENT.search(reason)
    if sent is None:
        return (PeerDown(peer, reason),)
    code, subcode = int(sent[1]), int(sent[2])
    return (NotificationSeen(peer, code, subcode, "", sent=True), PeerDown(peer, reason))


def _message(peer: IPAddress, message: _Message) -> tuple[Event, ...]:
    if message.eor is not None:
        family = message.eor.family()
        return (EndOfRib(peer, family),) if family is not None else ()
    update = message.update
    if update is None:
        return ()
    withdrawn = tuple(
        prefix(_prefix(nlri), FAMILIES[family])
        for family, nlris in update.withdraw.items()
        if family in FAMILIES
        for nlri in nlris
    )
    announced = tuple(_heard(update)) if update.announce else ()
    return (PathsReceived(peer, withdrawn, announced),) if withdrawn or announced else ()


def _heard(update: _Update) -> Iterator[Heard]:
    attribute = update.attribute
    as_path = tuple([asn for part in attribute.as_path.values() for asn in part.value])
    communities = _communities(attribute)
    clusters = tuple(attribute.cluster_list)
    for name, hops in update.announce.items():
        family = FAMILIES.get(name)
        if family is None:
            continue
        network = PREFIX_OF[family]
        for hop, nlris in hops.items():
            next_hop = address(hop)
            if _is_beside_a_global(next_hop, hops):
                continue
            prefixes = tuple(
                [network(nlri if type(nlri) is str else _prefix(nlri)) for nlri in nlris]
            )
            path = Path(
                next_hop,
                as_path,
                attribute.origin,
                attribute.local_preference,
                attribute.med,
                communities,
                attribute.originator_id,
                clusters,
            )
            if prefixes:
                yield Heard(prefixes, path)


def _is_beside_a_global(next_hop: IPAddress, hops: Mapping[str, object]) -> bool:
    """A link-local next hop is left out where a global one comes with it (RFC 2545); alone it is
    passed on, so that whoever judges paths can name it.
    """
    return isinstance(next_hop, IPv6Address) and next_hop.is_link_local and len(hops) > 1


def _communities(attribute: _Attribute) -> tuple[str, ...]:
    """Standard ones as `64512:1`, well-known ones by name, large ones as `64512:1:2`."""
    if not attribute.community and not attribute.large_community:
        return ()
    every = [*attribute.community, *attribute.large_community]
    return tuple(one if isinstance(one, str) else ":".join(map(str, one)) for one in every)


def _opened(peer: IPAddress, opened: _Open) -> tuple[Event, ...]:
    """RFC 4724: ExaBGP calls the R bit `forwarding` and the F bit `restart`."""
    capabilities = opened.capabilities
    spoken = capabilities.get("1", {}).get("families", [])
    graceful = capabilities.get("64")
    seconds: object = None
    kept: object = {}
    restarting: object = []
    if graceful is not None:
        seconds = graceful.get("time", 0)
        kept = graceful.get("address-family-flags", {})
        restarting = graceful.get("restart-flags", [])
    if not isinstance(spoken, list) or not isinstance(kept, dict):
        raise ValueError("capabilities: families must be a list, flags an object")  # noqa: TRY004
    if not isinstance(restarting, list) or not isinstance(seconds, int | None):
        raise ValueError("capabilities: restart-flags a list, time a number")  # noqa: TRY004
    asn4 = capabilities.get("65", {}).get("asn4", opened.asn)
    return (
        PeerOpened(
            peer=peer,
            asn=asn4 if isinstance(asn4, int) else opened.asn,
            families=_slashed(spoken) if "1" in capabilities else frozenset({Family.IPV4}),
            restart_seconds=seconds,
            forwarding_kept=_slashed(
                name
                for name, flags in kept.items()
                if isinstance(flags, list) and "restart" in flags
            ),
            restarting="forwarding" in restarting,
            graceful=_slashed(kept),
        ),
    )


def _slashed(names: Iterable[object]) -> frozenset[Family]:
    """`ipv4/unicast` as capabilities spell it; what we do not speak is left out."""
    spelled = (str(name).replace("/", " ") for name in names)
    return frozenset(FAMILIES[name] for name in spelled if name in FAMILIES)


def _prefix(nlri: str | dict[str, object]) -> str:
    """With ADD-PATH the NLRI is an object, else its text."""
    return nlri if isinstance(nlri, str) else str(nlri.get("nlri", ""))
