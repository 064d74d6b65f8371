"""Neighbours and forwarding entries (FDB) as the kernel tells them: message bytes to values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from felix_py.kernel.model import IPAddress
from felix_py.kernel.netlink_format import AF_UNSPEC, NDMSG, Message, address, attributes

GETNEIGH = 30
AF_BRIDGE = 7
NDA_DST, NDA_LLADDR = 1, 2
BODY = 16
"""Length of a netlink header: where the body starts."""
STATES = {
    0x01: "incomplete",
    0x02: "reachable",
    0x04: "stale",
    0x08: "delay",
    0x10: "probe",
    0x20: "failed",
    0x40: "noarp",
    0x80: "permanent",
}
"""NUD_*: of a neighbour one is set, of a forwarding entry several may be."""
PERMANENT, FAILED, INCOMPLETE = "permanent", "failed", "incomplete"


@dataclass(frozen=True, slots=True)
class NeighbourEntry:
    """An address on a link and the MAC it was found at; `` while there is none."""

    ifindex: int
    address: IPAddress
    mac: str
    state: str


@dataclass(frozen=True, slots=True)
class ForwardingEntry:
    """A MAC on a bridge or VXLAN link; `far_end` is the host that a VXLAN device sends it to."""

    ifindex: int
    mac: str
    far_end: IPAddress | None
    state: str


def neighbour_dump_request() -> Message:
    """Ask for the neighbours of both families, on every link."""
    return Message(GETNEIGH, 0, NDMSG.pack(AF_UNSPEC, 0, 0, 0, 0))


def forwarding_dump_request() -> Message:
    """Ask for the forwarding entries of every link."""
    return Message(GETNEIGH, 0, NDMSG.pack(AF_BRIDGE, 0, 0, 0, 0))


def read_neighbour(data: bytes, start: int, end: int) -> NeighbourEntry | None:
    """The neighbour of one message; None for a forwarding entry."""
    family, index, state, _, _ = NDMSG.unpack_from(data, start + BODY)
    found = dict(attributes(data[start:end], BODY + NDMSG.size))
    if family == AF_BRIDGE or NDA_DST not in found:
        return None
    mac = found.get(NDA_LLADDR, b"").hex(":")
    return NeighbourEntry(index, address(found[NDA_DST]), mac, _state(state))


def read_forwarding(data: bytes, start: int, end: int) -> ForwardingEntry | None:
    """The forwarding entry of one message; None for a neighbour."""
    family, index, state, _, _ = NDMSG.unpack_from(data, start + BODY)
    found = dict(attributes(data[start:end], BODY + NDMSG.size))
    if family != AF_BRIDGE:
        return None
    far_end = address(found[NDA_DST]) if len(found.get(NDA_DST, b"")) in {4, 16} else None
    return ForwardingEntry(index, found.get(NDA_LLADDR, b"").hex(":"), far_end, _state(state))


def _state(bits: int) -> str:
    """The strongest of the states that are set."""
    known = [name for bit, name in STATES.items() if bits & bit]
    return known[-1] if known else "none"
