"""Which route events the kernel does not even hand to a socket: a classic BPF program. Pure packing.

50,000 routes of our own come back as 50,000 events; passed over in Python they cost as much as deciding
them did, and each wakes a thread that wants the interpreter from the one that is writing (measured).
Source: Linux's include/uapi/linux/filter.h. Loads are in network order, netlink is in the host's.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable

from felix_py.kernel.netlink_format import DELROUTE, NEWROUTE

INSTRUCTION = struct.Struct("=HBBI")
"""sock_filter: code, how many to skip when true, when false, operand."""

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_JUMP_EQUAL, _JUMP, _RETURN = 0x15, 0x05, 0x06
_TYPE_AT, _PORT_AT, _PROTOCOL_AT = 4, 12, 16 + 5
_ALL = 0xFFFFFFFF
MOST_VALUES = 100
"""Ports and protocols together: a jump reaches 255 instructions. More of them are not filtered here."""


def without_routes_of(ports: Iterable[int], protocols: Iterable[int]) -> bytes:
    """A program that drops route events which these ports caused or whose route has such a protocol."""
    wanted_ports, wanted_protocols = sorted(ports), sorted(protocols)
    if len(wanted_ports) + len(wanted_protocols) > MOST_VALUES:
        wanted_ports, wanted_protocols = [], []
    tests: list[tuple[int, int, int]] = [(_LOAD_WORD, _PORT_AT, 0)]
    tests += [(_JUMP_EQUAL, _swapped(port, 4), 1) for port in wanted_ports]
    tests.append((_LOAD_BYTE, _PROTOCOL_AT, 0))
    tests += [(_JUMP_EQUAL, protocol, 1) for protocol in wanted_protocols]
    program = [
        INSTRUCTION.pack(_LOAD_HALF, 0, 0, _TYPE_AT),
        INSTRUCTION.pack(_JUMP_EQUAL, 2, 0, _swapped(NEWROUTE, 2)),
        INSTRUCTION.pack(_JUMP_EQUAL, 1, 0, _swapped(DELROUTE, 2)),
        INSTRUCTION.pack(_JUMP, 0, 0, len(tests)),
    ]
    for index, (code, operand, drops) in enumerate(tests):
        to_drop = len(tests) - index if drops else 0
        program.append(INSTRUCTION.pack(code, to_drop, 0, operand))
    keep, drop = (INSTRUCTION.pack(_RETURN, 0, 0, length) for length in (_ALL, 0))
    return b"".join([*program, keep, drop])


def _swapped(value: int, size: int) -> int:
    """A number in the host's order as a load in network order shows it."""
    return int.from_bytes(value.to_bytes(size, sys.byteorder), "big")
