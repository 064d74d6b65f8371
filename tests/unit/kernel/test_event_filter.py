"""The program that drops route events in the kernel, run here by a few lines of Python."""

from __future__ import annotations

import pytest

from felix_py.kernel.event_filter import INSTRUCTION, MOST_VALUES, without_routes_of
from felix_py.kernel.netlink_format import (
    AF_INET,
    DELROUTE,
    HEADER,
    NEWADDR,
    NEWLINK,
    NEWNETCONF,
    NEWROUTE,
    RTMSG,
)

OWN, STRANGER = 0x80001234, 4711


def event(kind: int, port: int, protocol: int = 3) -> bytes:
    body = RTMSG.pack(AF_INET, 26, 0, 0, 254, protocol, 0, 1, 0)
    return HEADER.pack(16 + len(body), kind, 0, 7, port) + body


def is_kept(program: bytes, message: bytes) -> bool:
    """What the kernel does with a message."""
    code = list(INSTRUCTION.iter_unpack(program))
    sizes = {0x20: 4, 0x28: 2, 0x30: 1}
    at = value = 0
    while True:
        number, if_true, if_false, operand = code[at]
        at += 1
        if number in sizes:
            value = int.from_bytes(message[operand : operand + sizes[number]], "big")
        elif number == 0x15:
            at += if_true if value == operand else if_false
        elif number == 0x05:
            at += operand
        else:
            assert number == 0x06
            return bool(operand)


@pytest.mark.parametrize("kind", [NEWROUTE, DELROUTE])
@pytest.mark.parametrize(
    ("ports", "protocols"), [((OWN,), (81,)), ((5, OWN), ()), ((), (80, 81)), ((), ())]
)
def test_route_events_of_these_ports_and_protocols_are_dropped_and_no_others(
    kind: int, ports: tuple[int, ...], protocols: tuple[int, ...]
) -> None:
    program = without_routes_of(ports, protocols)
    for port in (OWN, STRANGER, 0):
        for protocol in (3, 80, 81):
            dropped = port in ports or protocol in protocols
            assert is_kept(program, event(kind, port, protocol)) is not dropped


@pytest.mark.parametrize("kind", [NEWLINK, NEWADDR, NEWNETCONF])
def test_links_addresses_and_settings_are_told_whoever_changed_them(kind: int) -> None:
    assert is_kept(without_routes_of([OWN], [81]), event(kind, OWN, 81))


def test_more_values_than_a_jump_can_pass_filter_nothing() -> None:
    program = without_routes_of(range(1, MOST_VALUES + 2), [])
    assert is_kept(program, event(NEWROUTE, 1))
    assert not is_kept(without_routes_of(range(1, MOST_VALUES + 1), []), event(NEWROUTE, 1))
