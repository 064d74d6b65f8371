"""Send hand-made packets of protocol 4: outer source, outer target, inner source, inner target.

Standard library only. Each holds an ICMP echo request; three are sent.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

COUNT = 3


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def header(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 header without options."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    size = 20 + len(payload)
    blank = struct.pack("!BBHHHBBH", 0x45, 0, size, 4711, 0, 64, protocol, 0) + ends
    return blank[:10] + struct.pack("!H", checksum(blank)) + blank[12:]


def main() -> None:
    """Build and send."""
    outer_source, outer_target, inner_source, inner_target = sys.argv[1:]
    blank = struct.pack("!BBHHH", 8, 0, 0, 4711, 1)
    echo = struct.pack("!BBHHH", 8, 0, checksum(blank), 4711, 1)
    inside = header(inner_source, inner_target, 1, echo) + echo
    packet = header(outer_source, outer_target, 4, inside) + inside
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as opened:
        for _ in range(COUNT):
            opened.sendto(packet, (outer_target, 0))
            time.sleep(0.1)


if __name__ == "__main__":
    main()
