"""Hand-made Ethernet frames: what a pod with a raw socket can send, true or not."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from tests.support import netns

BROADCAST = "ff:ff:ff:ff:ff:ff"
HOST_MAC = "ee:ee:ee:ee:ee:ee"
ICMP, IPIP, UDP, ICMPV6 = 1, 4, 17, 58
NEIGHBOUR_SOLICIT, NEIGHBOUR_ADVERT, ROUTER_ADVERT = 135, 136, 134
VXLAN_PORT = 4789


def send(namespace: str, link: str, frames: Sequence[bytes]) -> None:
    """Put frames on a link, from inside its namespace."""

    def body() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as opened:
            opened.bind((link, 0))
            for frame in frames:
                opened.send(frame)

    netns.call(namespace, body)


def mac_of(namespace: str, link: str) -> str:
    """A link's own address."""
    return str(netns.ip_json("link", "show", link, namespace=namespace)[0]["address"])


def ethernet(destination: str, source: str, kind: int, payload: bytes) -> bytes:
    """One frame."""
    return _mac(destination) + _mac(source) + struct.pack("!H", kind) + payload


def packet(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 or IPv6 packet with its header's checksum."""
    left, right = ip_address(source), ip_address(destination)
    if left.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255)
        return head + left.packed + right.packed + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0)
    head += left.packed + right.packed
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + payload


def framed(packed: bytes, *, source_mac: str, destination_mac: str = HOST_MAC) -> bytes:
    """An IP packet as a frame to the host's side of the link."""
    kind = 0x0800 if packed[0] >> 4 == 4 else 0x86DD
    return ethernet(destination_mac, source_mac, kind, packed)


def udp(
    source: str, destination: str, port: int, payload: bytes = b"x", *, source_port: int = 40000
) -> bytes:
    """A UDP packet, with a checksum where there must be one (IPv6)."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", source_port, port, length, 0)
    left, right = ip_address(source), ip_address(destination)
    if left.version == 6:
        pseudo = left.packed + right.packed + struct.pack("!II", length, UDP)
        head = head[:6] + struct.pack("!H", _checksum(pseudo + head + payload) or 0xFFFF)
    return packet(source, destination, UDP, head + payload)


def echo(source: str, destination: str) -> bytes:
    """A ping."""
    if ip_address(source).version == 6:
        return icmpv6(source, destination, 128, struct.pack("!HH", 7, 1))
    body = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
    checked = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
    return packet(source, destination, ICMP, checked)


def vxlan(source: str, destination: str, inner: bytes, *, vni: int = 4096) -> bytes:
    """An inner Ethernet frame in VXLAN (RFC 7348) from one address to another."""
    return udp(source, destination, VXLAN_PORT, struct.pack("!II", 0x08000000, vni << 8) + inner)


def arp(operation: int, mac: str, sender: str, target: str) -> bytes:
    """ARP to everybody: 1 asks, 2 answers; gratuitous when sender and target are one."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body += _mac(mac) + IPv4Address(sender).packed + _mac(BROADCAST) + IPv4Address(target).packed
    return ethernet(BROADCAST, mac, 0x0806, body)


def advertisement(mac: str, source: str, target: str, *, to: str = "ff02::1") -> bytes:
    """A neighbour advertisement: `target` is at this MAC, and forget what you knew (override)."""
    body = struct.pack("!I", 0x20000000) + IPv6Address(target).packed + b"\x02\x01" + _mac(mac)
    return _multicast(mac, icmpv6(source, to, NEIGHBOUR_ADVERT, body), to)


def solicitation(mac: str, source: str, target: str) -> bytes:
    """A neighbour solicitation that tells the asker's own MAC, which teaches whoever is asked."""
    body = bytes(4) + IPv6Address(target).packed + b"\x01\x01" + _mac(mac)
    to = str(IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(IPv6Address(target)) & 0xFFFFFF))
    return _multicast(mac, icmpv6(source, to, NEIGHBOUR_SOLICIT, body), to)


def icmpv6(source: str, destination: str, kind: int, rest: bytes) -> bytes:
    """ICMPv6 with its checksum over the pseudo-header."""
    body = struct.pack("!BBH", kind, 0, 0) + rest
    pseudo = IPv6Address(source).packed + IPv6Address(destination).packed
    pseudo += struct.pack("!II", len(body), ICMPV6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    return packet(source, destination, ICMPV6, body)


def _multicast(mac: str, packed: bytes, to: str) -> bytes:
    group = IPv6Address(to).packed[-4:]
    return ethernet("33:33:" + ":".join(f"{byte:02x}" for byte in group), mac, 0x86DD, packed)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
