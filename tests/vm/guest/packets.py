"""What a capture holds, and whether each packet between pods travels as it should. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

IPIP, ICMP = 4, 1
ETHERTYPE_IP = 0x0800
FILE_HEADER, RECORD_HEADER = 24, 16


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet; with what is inside when its protocol is 4."""

    source: str
    target: str
    protocol: int
    inner: tuple[str, str] | None = None


@dataclass(frozen=True)
class Pair:
    """A pod that pings another: their nodes' and their own addresses, and the points on the way."""

    nodes: tuple[str, str]
    outer: tuple[str, str]
    inner: tuple[str, str]
    points: frozenset[str]

    @property
    def back(self) -> Pair:
        """The answers' direction."""
        return Pair(self.nodes[::-1], self.outer[::-1], self.inner[::-1], self.points)


def read(capture: bytes) -> Iterator[Packet]:
    """The IPv4 packets of a pcap file on Ethernet, as tcpdump writes it; a cut-off tail is left out."""
    offset = FILE_HEADER
    while offset + RECORD_HEADER <= len(capture):
        (length,) = struct.unpack_from("=I", capture, offset + 8)
        start = offset + RECORD_HEADER
        offset = start + length
        frame = capture[start:offset]
        if len(frame) >= 34 and frame[12:14] == ETHERTYPE_IP.to_bytes(2, "big"):
            yield _packet(frame[14:])


def _packet(data: bytes) -> Packet:
    source, target = _addresses(data)
    size = (data[0] & 0x0F) * 4
    inner = _addresses(data[size:]) if data[9] == IPIP and len(data) >= size + 20 else None
    return Packet(source, target, data[9], inner)


def _addresses(header: bytes) -> tuple[str, str]:
    return str(IPv4Address(header[12:16])), str(IPv4Address(header[16:20]))


def complaints(
    seen: Mapping[str, Sequence[Packet]],
    pairs: Sequence[Pair],
    tunnelled: frozenset[tuple[str, str]],
) -> list[str]:
    """What is wrong: protocol 4 where it must not be, a bare packet where it must be, or neither.

    seen: by capture point. tunnelled: (node, node) in either order. Each pair is judged both ways.
    """
    both = [*pairs, *(pair.back for pair in pairs)]
    by_inner = {pair.inner: pair for pair in both}
    found: dict[str, None] = {}
    met: set[tuple[str, tuple[str, str]]] = set()
    for point, packets in seen.items():
        for packet in packets:
            said = _judge(point, packet, by_inner, tunnelled)
            if said:
                found[said] = None
            else:
                met.add((point, packet.inner or (packet.source, packet.target)))
    for pair in both:
        for point in sorted(pair.points):
            if (point, pair.inner) not in met:
                found[f"{point}: nothing seen from {pair.nodes[0]}'s pod to {pair.nodes[1]}'s"] = (
                    None
                )
    return list(found)


def _judge(
    point: str,
    packet: Packet,
    by_inner: Mapping[tuple[str, str], Pair],
    tunnelled: frozenset[tuple[str, str]],
) -> str | None:
    ends = packet.inner or (packet.source, packet.target)
    pair = by_inner.get(ends)
    outside = f"{packet.source} > {packet.target}"
    if packet.protocol == IPIP:
        if pair is None:
            return f"{point}: protocol 4 that nobody of ours sent, {outside}"
        if not _in(pair.nodes, tunnelled):
            return f"{point}: protocol 4 between {' and '.join(pair.nodes)}, which are direct"
        if (packet.source, packet.target) != pair.outer:
            return f"{point}: protocol 4 for {pair.nodes[1]}'s pod goes to another node, {outside}"
    elif pair is not None and _in(pair.nodes, tunnelled):
        return f"{point}: bare {outside}, which must be in protocol 4"
    if pair is not None and point not in pair.points:
        return f"{point}: is not on the way of {outside}"
    return None


def _in(nodes: tuple[str, str], tunnelled: frozenset[tuple[str, str]]) -> bool:
    return nodes in tunnelled or nodes[::-1] in tunnelled
