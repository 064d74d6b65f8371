"""A netlink socket's answers, with the kernel's side played by hand."""

from __future__ import annotations

import errno
import socket
from collections import deque
from dataclasses import dataclass, field

import pytest

from felix_py.kernel import netlink_wire
from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.netlink_format import (
    ACK,
    DUMP_INTR,
    HEADER,
    NLMSG_DONE,
    NLMSG_ERROR,
    S32,
    Message,
    attribute,
)
from felix_py.kernel.netlink_wire import NetlinkSocket, Refusal, parts


@dataclass
class Peer:
    """Stands for the socket: remembers what was sent, hands out what the kernel would say."""

    sent: list[bytes] = field(default_factory=list)
    replies: deque[bytes | OSError] = field(default_factory=deque)

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def getsockname(self) -> tuple[int, int]:
        return 4242, 0

    def recvmsg(
        self, size: int, _: int, flags: int
    ) -> tuple[bytes, list[object], int, tuple[int, int]]:
        if not self.replies:
            raise BlockingIOError(errno.EAGAIN, "nothing more")
        reply = self.replies.popleft()
        if isinstance(reply, OSError):
            raise reply
        return reply[:size], [], socket.MSG_TRUNC if len(reply) > size else 0, (0, 0)

    def close(self) -> None:
        self.replies.clear()


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    made = Peer()
    monkeypatch.setattr(netlink_wire, "open_socket", lambda *_, **__: made)
    return made


def answer(sequence: int, number: int = 0, why: str = "") -> bytes:
    """An NLMSG_ERROR, capped, with the kernel's sentence."""
    extra = attribute(1, why.encode() + b"\0") if why else b""
    body = S32.pack(-number) + HEADER.pack(16, 24, 0, sequence, 0) + extra
    return HEADER.pack(16 + len(body), NLMSG_ERROR, 0, sequence, 0) + body


def part(sequence: int, payload: bytes, flags: int = 2) -> bytes:
    return HEADER.pack(16 + len(payload), 24, flags, sequence, 0) + payload


def done(sequence: int, status: int = 0) -> bytes:
    return HEADER.pack(20, NLMSG_DONE, 2, sequence, 0) + S32.pack(status)


def payload(data: bytes, start: int, end: int) -> bytes:
    return data[start + 16 : end]


MESSAGES = [Message(24, 0, bytes((number,) * 4)) for number in range(3)]
ASK = Message(26, 0, b"")


def test_only_the_last_message_of_a_batch_asks_for_an_acknowledgement(peer: Peer) -> None:
    peer.replies.append(answer(3))
    assert NetlinkSocket().request(MESSAGES) == [None, None, None]
    [sent] = peer.sent
    assert [each.flags & ACK for each in parts(sent)] == [0, 0, ACK]
    assert [each.sequence for each in parts(sent)] == [1, 2, 3]


def test_a_refusal_lands_at_its_message_with_the_kernels_sentence(peer: Peer) -> None:
    peer.replies += [answer(2, errno.EEXIST, "it is there"), answer(3)]
    assert NetlinkSocket().request(MESSAGES) == [None, Refusal(errno.EEXIST, "it is there"), None]


def test_answers_to_earlier_requests_are_passed_over(peer: Peer) -> None:
    opened = NetlinkSocket()
    peer.replies.append(answer(3))
    opened.request(MESSAGES)
    peer.replies += [answer(1, errno.EPERM), answer(3, errno.EPERM), answer(6)]
    assert opened.request(MESSAGES) == [None, None, None]


def test_large_requests_are_split_over_several_sends(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink_wire, "MESSAGES_PER_SEND", 2)
    peer.replies += [answer(1, errno.ENODEV), answer(2), answer(3)]
    assert NetlinkSocket().request(MESSAGES) == [Refusal(errno.ENODEV), None, None]
    assert len(peer.sent) == 2


def test_lost_answers_are_enobufs_and_never_mistaken_for_success(peer: Peer) -> None:
    peer.replies += [
        answer(1, errno.EEXIST),
        OSError(errno.ENOBUFS, "overrun"),
        answer(3),
    ]
    answers = NetlinkSocket().request(MESSAGES)
    assert [each.errno for each in answers if each] == [errno.EEXIST, errno.ENOBUFS, errno.ENOBUFS]


def test_silence_is_lost_answers_too(peer: Peer) -> None:
    answers = NetlinkSocket().request(MESSAGES)
    assert [each.errno for each in answers if each] == [errno.ENOBUFS] * 3


def test_a_dump_gives_every_part(peer: Peer) -> None:
    peer.replies += [part(1, b"aaaa") + part(1, b"bbbb"), part(1, b"cccc"), done(1)]
    assert NetlinkSocket().dump("list", ASK, payload) == [b"aaaa", b"bbbb", b"cccc"]


def test_a_torn_dump_is_read_again(peer: Peer) -> None:
    peer.replies += [part(1, b"aaaa", DUMP_INTR), done(1), part(2, b"bbbb"), done(2)]
    assert NetlinkSocket().dump("list", ASK, payload) == [b"bbbb"]


def test_a_dump_torn_every_time_is_given_up(peer: Peer) -> None:
    for attempt in range(1, netlink_wire.DUMP_ATTEMPTS + 1):
        peer.replies += [part(attempt, b"aaaa", DUMP_INTR), done(attempt)]
    with pytest.raises(DumpInterrupted):
        NetlinkSocket().dump("list", ASK, payload)
    assert len(peer.sent) == netlink_wire.DUMP_ATTEMPTS


def test_parts_of_an_abandoned_dump_are_not_taken_for_this_one(peer: Peer) -> None:
    opened = NetlinkSocket()
    peer.replies += [part(1, b"aaaa"), done(1)]
    opened.dump("list", ASK, payload)
    peer.replies += [part(1, b"old!"), done(1), part(2, b"new!"), done(2)]
    assert opened.dump("list", ASK, payload) == [b"new!"]


@pytest.mark.parametrize("refusal", [answer(1, errno.ENOENT), done(1, -errno.ENOENT)])
def test_a_refused_dump_raises_its_errno(peer: Peer, refusal: bytes) -> None:
    peer.replies.append(refusal)
    with pytest.raises(KernelRefused) as refused:
        NetlinkSocket().dump("list", ASK, payload)
    assert refused.value.errno == errno.ENOENT


def test_a_message_that_does_not_fit_is_refused_not_cut_off(peer: Peer) -> None:
    peer.replies.append(bytes(netlink_wire.READ_BYTES + 1))
    with pytest.raises(KernelRefused) as refused:
        NetlinkSocket().dump("list", ASK, payload)
    assert refused.value.errno == errno.EMSGSIZE


def test_the_answer_to_a_question_is_found(peer: Peer) -> None:
    peer.replies += [part(1, b"aaaa"), answer(1)]
    assert NetlinkSocket().ask("find", [ASK])[16:] == b"aaaa"
    peer.replies.append(answer(1, errno.ENODEV))
    opened = NetlinkSocket()
    with pytest.raises(KernelRefused) as refused:
        opened.ask("find", [ASK])
    assert refused.value.errno == errno.ENODEV


@pytest.mark.parametrize("data", [b"", b"\0" * 16, b"\xff" * 40, part(1, b"aaaa")[:18]])
def test_malformed_datagrams_hold_no_message(data: bytes) -> None:
    assert list(parts(data)) == []
