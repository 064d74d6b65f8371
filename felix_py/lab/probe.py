"""Run inside a pod's namespace: who answers a ping, with which TTL, and who answers by TCP.

Standard library only (`python -I -S probe.py`). Standard input: JSON {"port", "seconds", "targets":
{name: IPv4 address}}; output: JSON {name: {"ttl": TTL of the echo reply or null, "said": the name
the TCP server gave, or null}}.
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

ECHO_REQUEST, ECHO_REPLY = 8, 0
AGAIN_SECONDS = 0.4
"""How long after one echo request the next is sent."""


class Pings:
    """ICMP echo (RFC 792) to several addresses by one raw socket."""

    def __init__(self, addresses: list[str]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.identifier = os.getpid() & 0xFFFF
        self.missing = set(addresses)
        self.ttls: dict[str, int] = {}
        self.due_at = 0.0
        self.sequence = 0

    def send(self, now: float) -> None:
        """Ask, or ask again, those who have not answered."""
        if now < self.due_at:
            return
        self.due_at = now + AGAIN_SECONDS
        self.sequence += 1
        head = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, self.identifier, self.sequence)
        packet = struct.pack(
            "!BBHHH", ECHO_REQUEST, 0, checksum(head), self.identifier, self.sequence
        )
        for address in self.missing:
            try:
                self.socket.sendto(packet, (address, 0))
            except OSError:
                continue

    def receive(self) -> None:
        """Note one answer."""
        packet, (address, _) = self.socket.recvfrom(2048)
        header = (packet[0] & 0x0F) * 4
        kind, _, _, identifier, _ = struct.unpack("!BBHHH", packet[header : header + 8])
        if kind == ECHO_REPLY and identifier == self.identifier and address in self.missing:
            self.missing.discard(address)
            self.ttls[address] = int(packet[8])


class Calls:
    """TCP connections to several addresses; each answer is a line with the server's name."""

    def __init__(self, addresses: list[str], port: int) -> None:
        self.open: dict[int, tuple[socket.socket, str]] = {}
        self.said: dict[str, str] = {}
        for address in addresses:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            connection.setblocking(False)
            connection.connect_ex((address, port))
            self.open[connection.fileno()] = (connection, address)

    def receive(self, number: int) -> None:
        """Note what one server said, or that it refused."""
        connection, address = self.open.pop(number)
        with connection:
            try:
                self.said[address] = connection.recv(256).decode("utf-8", "replace").strip()
            except OSError:
                return


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def probe(targets: dict[str, str], port: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Everything at once, until all have answered or the time is over."""
    addresses = sorted(set(targets.values()))
    pings, calls = Pings(addresses), Calls(addresses, port)
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
    return {
        name: {"ttl": pings.ttls.get(address), "said": calls.said.get(address)}
        for name, address in targets.items()
    }


def main() -> None:
    """Read the question, write the answer."""
    asked = json.load(sys.stdin)
    json.dump(probe(asked["targets"], asked["port"], asked["seconds"]), sys.stdout)


if __name__ == "__main__":
    main()
