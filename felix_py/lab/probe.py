"""Run inside a pod's namespace: who answers a ping, with which TTL, and who answers by TCP.

Standard library only (`python -I -S probe.py`). Standard input: JSON {"port", "seconds", "targets":
{name: address}}, addresses of one IP version; output: JSON {name: {"ttl": TTL or hop limit of the echo
reply or null, "said": the name the TCP server gave, or null, "saw": the address it saw us under, or
null}}.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from typing import Any

ECHO: dict[int, tuple[int, int]] = {4: (8, 0), 6: (128, 129)}
"""Types of echo request and reply (RFC 792, RFC 4443)."""
AGAIN_SECONDS = 0.4
"""How long after one echo request the next is sent."""


class Pings:
    """Echo requests to several addresses of one IP version by one raw socket."""

    def __init__(self, addresses: list[str], version: int) -> None:
        self.version = version
        self.socket = raw_socket(version)
        self.socket.setblocking(False)
        self.identifier = os.getpid() & 0xFFFF
        self.missing = set(addresses)
        self.ttls: dict[str, int] = {}
        self.due_at = 0.0
        self.sequence = 0

    def send(self, now: float) -> None:
        """Ask, or ask again, those who have not answered. The kernel sums up ICMPv6 by itself."""
        if now < self.due_at:
            return
        self.due_at = now + AGAIN_SECONDS
        self.sequence += 1
        request, _ = ECHO[self.version]
        head = struct.pack("!BBHHH", request, 0, 0, self.identifier, self.sequence)
        packet = struct.pack("!BBHHH", request, 0, checksum(head), self.identifier, self.sequence)
        for address in self.missing:
            try:
                self.socket.sendto(packet, (address, 0))
            except OSError:
                continue

    def receive(self) -> None:
        """Note one answer."""
        data, ancillary, _, source = self.socket.recvmsg(2048, 64)
        if self.version == 4:
            ttl, message = int(data[8]), data[(data[0] & 0x0F) * 4 :]
        else:
            ttl, message = struct.unpack("@i", ancillary[0][2])[0], data
        kind, _, _, identifier, _ = struct.unpack("!BBHHH", message[:8])
        address = source[0]
        if (
            kind == ECHO[self.version][1]
            and identifier == self.identifier
            and address in self.missing
        ):
            self.missing.discard(address)
            self.ttls[address] = ttl


class Calls:
    """TCP connections to several addresses; each answer is the server's name and how it sees us."""

    def __init__(self, addresses: list[str], port: int, version: int) -> None:
        self.open: dict[int, tuple[socket.socket, str]] = {}
        self.said: dict[str, list[str]] = {}
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        for address in addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.connect_ex((address, port))
            self.open[connection.fileno()] = (connection, address)

    def receive(self, number: int) -> None:
        """Note what one server said, or that it refused."""
        connection, address = self.open.pop(number)
        with connection:
            try:
                self.said[address] = connection.recv(256).decode("utf-8", "replace").split()
            except OSError:
                return


def raw_socket(version: int) -> socket.socket:
    """A socket that hears echo replies, and in IPv6 their hop limit beside them."""
    if version == 4:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    return opened


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def probe(targets: dict[str, str], port: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Everything at once, until all have answered or the time is over."""
    addresses = sorted(set(targets.values()))
    version = 6 if any(":" in address for address in addresses) else 4
    pings, calls = Pings(addresses, version), Calls(addresses, port, version)
    deadline = time.monotonic() + seconds
    while (pings.missing or calls.open) and (now := time.monotonic()) < deadline:
        pings.send(now)
        watched = [pings.socket.fileno(), *calls.open]
        readable, _, _ = select.select(watched, [], [], 0.05)
        for number in readable:
            if number == pings.socket.fileno():
                pings.receive()
            else:
                calls.receive(number)
    found = {}
    for name, address in targets.items():
        said, saw, *_ = [*calls.said.get(address, []), None, None]
        found[name] = {"ttl": pings.ttls.get(address), "said": said, "saw": saw}
    return found


def main() -> None:
    """Read the question, write the answer."""
    asked = json.load(sys.stdin)
    json.dump(probe(asked["targets"], asked["port"], asked["seconds"]), sys.stdout)


if __name__ == "__main__":
    main()
