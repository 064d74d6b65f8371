"""Who else answers for an address: ARP probes (RFC 5227), which name no sender and change no cache.

Needs CAP_NET_RAW.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from ipaddress import IPv4Address

from felix_py.kernel.errors import KernelRefused

WAIT_SECONDS = 1.0
ARP = struct.Struct("!HHBBH6s4s6s4s")
"""Hardware and protocol type, their lengths, operation, sender's MAC and address, target's."""
ETHERNET_BYTES = 14
ETH_P_ARP = 0x0806
ETHERNET, REQUEST, REPLY = 1, 1, 2
BROADCAST = b"\xff" * 6


def who_has(link: str, mac: str, address: IPv4Address) -> frozenset[str]:
    """The MACs that claim an address on a link, within WAIT_SECONDS. Raises KernelRefused."""
    own = bytes.fromhex(mac.replace(":", ""))
    asked = ARP.pack(*(ETHERNET, 0x0800, 6, 4, REQUEST, own, bytes(4), bytes(6), address.packed))
    found: set[str] = set()
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP)) as opened:
            opened.bind((link, ETH_P_ARP))
            opened.send(BROADCAST + own + ETH_P_ARP.to_bytes(2, "big") + asked)
            deadline = time.monotonic() + WAIT_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                opened.settimeout(left)
                try:
                    data, sender = opened.recvfrom(2048)
                except TimeoutError:
                    break
                if sender[2] != socket.PACKET_OUTGOING:
                    found |= _claim(data, address)
    except OSError as error:
        raise KernelRefused(f"ARP probe on {link}", error.errno or errno.EIO) from error
    return frozenset(found)


def _claim(frame: bytes, address: IPv4Address) -> set[str]:
    if len(frame) < ETHERNET_BYTES + ARP.size:
        return set()
    *_, operation, mac, claimed, _, _ = ARP.unpack_from(frame, ETHERNET_BYTES)
    claims = operation == REPLY and claimed == address.packed
    return {mac.hex(":")} if claims else set()
