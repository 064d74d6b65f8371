"""The judge of captures tells every way in which protocol 4 can be where it must not be."""

from __future__ import annotations

import struct

import pytest

from tests.vm.guest.packets import Packet, Pair, complaints, read
from tests.vm.guest.send_protocol4 import header

NEAR = Pair(
    ("a1", "a2"), ("10.0.1.1", "10.0.1.2"), ("10.9.1.1", "10.9.2.1"), frozenset({"a1", "a2"})
)
FAR = Pair(
    ("a1", "b1"), ("10.0.1.1", "10.0.2.1"), ("10.9.1.1", "10.9.3.1"), frozenset({"a1", "b1"})
)
TUNNELLED = frozenset({("a1", "b1")})


def bare(pair: Pair) -> Packet:
    return Packet(*pair.inner, 1)


def wrapped(pair: Pair) -> Packet:
    return Packet(*pair.outer, 4, pair.inner)


def right() -> dict[str, list[Packet]]:
    near, far = [bare(NEAR), bare(NEAR.back)], [wrapped(FAR), wrapped(FAR.back)]
    return {"a1": near + far, "a2": near, "b1": far}


def judge(seen: dict[str, list[Packet]]) -> list[str]:
    return complaints(seen, [NEAR, FAR], TUNNELLED)


def test_everything_where_it_must_be_is_no_complaint() -> None:
    assert judge(right()) == []


@pytest.mark.parametrize(
    ("point", "packet", "said"),
    [
        ("a2", wrapped(NEAR), "which are direct"),
        ("b1", bare(FAR), "must be in protocol 4"),
        ("a1", Packet("10.0.1.1", "10.0.9.9", 4, ("1.1.1.1", "2.2.2.2")), "nobody of ours"),
        ("a1", Packet("10.0.1.1", "10.0.1.2", 4, FAR.inner), "goes to another node"),
        ("a2", wrapped(FAR), "is not on the way"),
        ("b1", bare(NEAR), "is not on the way"),
    ],
)
def test_one_packet_out_of_place_is_named(point: str, packet: Packet, said: str) -> None:
    seen = right()
    seen[point] = [*seen[point], packet]
    (complaint,) = judge(seen)
    assert complaint.startswith(f"{point}: ")
    assert said in complaint


def test_silence_is_no_proof() -> None:
    said = judge({"a1": [], "a2": [], "b1": []})
    assert len(said) == 8
    assert all("nothing seen" in each for each in said)


def test_a_capture_file_gives_outer_and_inner_addresses() -> None:
    inside = header("10.9.1.1", "10.9.3.1", 1, b"12345678")
    frame = bytes(12) + b"\x08\x00" + header("10.0.1.1", "10.0.2.1", 4, inside) + inside
    record = struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame
    assert list(read(bytes(24) + record + record[:20])) == [wrapped(FAR)]
