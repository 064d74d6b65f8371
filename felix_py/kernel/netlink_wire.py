"""One netlink socket: batches with an answer per message, and dumps that are whole.

Only the hot paths and what the adapters build on come here; values of the model are packed in
netlink_batch.py and read in route_dump.py and link_dump.py.
"""

from __future__ import annotations

import errno
import socket
import struct
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Self, TypeVar

from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.netlink_format import (
    ACK,
    DUMP,
    DUMP_INTR,
    HEAD,
    HEADER,
    NLMSG_DONE,
    NLMSG_ERROR,
    NO_PORT,
    PIECES,
    REQUEST,
    S32,
    U32,
    Message,
    attributes,
    c_string,
)

T = TypeVar("T")

MESSAGES_PER_SEND = 500
"""More are split over several sends: the kernel handles one send before it returns."""
DUMP_ATTEMPTS = 5
"""A dump torn so often by concurrent changes is given up with DumpInterrupted."""
ANSWER_SECONDS = 10
"""The kernel answers within the send; later means lost: the message is answered ENOBUFS."""
SOCKET_BYTES = 8 << 20
"""Send and receive buffer. Answers that do not fit are lost: those messages are answered ENOBUFS."""
READ_BYTES = 1 << 16
"""A dump comes in parts of at most 32 KiB; a longer message is refused as EMSGSIZE."""

SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
SO_ATTACH_FILTER, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 26, 32, 33
FILTER = struct.Struct("@HP")
"""sock_fprog: number of instructions, where they are."""
ERROR_TEXT = 1
"""NLMSGERR_ATTR_MSG."""
ERROR_ATTRIBUTES = 16 + 4 + 16
"""Where the attributes of a capped error start: header, errno, header of the request."""


class Refusal(NamedTuple):
    """The kernel's answer to one message: a positive errno, and its sentence if it gave one."""

    errno: int
    why: str = ""


class _Part(NamedTuple):
    """One message inside a datagram."""

    kind: int
    flags: int
    sequence: int
    data: bytes
    start: int
    end: int


def open_socket(protocol: int, *, groups: int = 0, strict: bool = True) -> socket.socket:
    """A bound netlink socket with large buffers and extended answers.

    `strict` makes the kernel filter dumps by what the request says (since 4.20; older: ignored).
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
            opened.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
        wanted = (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK)
        for option in wanted if strict else wanted[:2]:
            _set_if_known(opened, option)
        seconds = struct.pack("@ll", ANSWER_SECONDS, 0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def attach_filter(opened: socket.socket, program: bytes) -> None:
    """Have the kernel drop what this classic BPF program says. Raises OSError."""
    code = array("B", program)
    at, size = code.buffer_info()
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, FILTER.pack(size // 8, at))


def parts(datagram: bytes) -> Iterator[_Part]:
    """The messages of one datagram; ends at the first that is malformed."""
    offset, size = 0, len(datagram)
    while offset + 16 <= size:
        length, kind, flags, sequence, _ = HEADER.unpack_from(datagram, offset)
        if length < 16 or offset + length > size:
            return
        yield _Part(kind, flags, sequence, datagram, offset, offset + length)
        offset += (length + 3) & ~3


class NetlinkSocket:
    """A netlink socket in the namespace of the thread that opens it. Threads take turns."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE, *, strict: bool = True) -> None:
        self._socket = open_socket(protocol, strict=strict)
        self.port: int = self._socket.getsockname()[0]
        self._sequence = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the socket; safe to repeat."""
        self._socket.close()

    def request(self, messages: Sequence[Message]) -> list[Refusal | None]:
        """Send in batches; the refusal of each message in order, None when it was done.

        A refused message does not stop those after it. ENOBUFS: the answer was lost, look again.
        """
        return self.request_packed(_pieces(messages))

    def request_packed(self, pieces: Sequence[bytes]) -> list[Refusal | None]:
        """Like request, of messages that are packed already, in PIECES each."""
        answers: list[Refusal | None] = []
        step = MESSAGES_PER_SEND * PIECES
        with self._lock:
            for start in range(0, len(pieces), step):
                answers += self._batch(list(pieces[start : start + step]))
        return answers

    def demand(self, doing: str, messages: Sequence[Message]) -> None:
        """Like request, but raises KernelRefused for the first message that was refused."""
        for refusal in self.request(messages):
            if refusal is not None:
                raise KernelRefused(doing, refusal.errno, refusal.why)

    def ask(self, doing: str, messages: Sequence[Message]) -> bytes:
        """Send in one batch; the first message that comes back as an answer, with its header.

        Raises KernelRefused for the first refusal, or with ENODATA when nothing came back.
        """
        with self._lock:
            replies: list[bytes] = []
            answers = self._batch(_pieces(messages), replies)
        for refusal in answers:
            if refusal is not None:
                raise KernelRefused(doing, refusal.errno, refusal.why)
        if not replies:
            raise KernelRefused(doing, errno.ENODATA)
        return replies[0]

    def dump(
        self, doing: str, message: Message, read: Callable[[bytes, int, int], T | None]
    ) -> list[T]:
        """Everything a dump tells, each message by `read(data, start, end)`; None is left out.

        Raises DumpInterrupted when it was torn DUMP_ATTEMPTS times, KernelRefused when refused.
        """
        for _ in range(DUMP_ATTEMPTS):
            try:
                with self._lock:
                    found = self._dump_once(doing, message, read)
            except OSError as error:
                raise KernelRefused(doing, error.errno or errno.EIO) from error
            if found is not None:
                return found
        raise DumpInterrupted(doing)

    def _batch(
        self, pieces: list[bytes], replies: list[bytes] | None = None
    ) -> list[Refusal | None]:
        """One send. Only the last message asks for an acknowledgement: refusals come anyway,
        in order, so that silence before the last acknowledgement means done."""
        count = len(pieces) // PIECES
        first = self._sequence + 1
        self._sequence += count
        number = U32.pack
        pieces[1::PIECES] = [number(n & 0xFFFFFFFF) for n in range(first, first + count)]
        length, kind, flags = HEAD.unpack(pieces[-PIECES])
        pieces[-PIECES] = HEAD.pack(length, kind, flags | ACK)
        answers: list[Refusal | None] = [None] * count
        try:
            self._socket.send(b"".join(pieces))
        except OSError as error:
            return [Refusal(error.errno or errno.EIO)] * count
        self._collect(first, answers, replies)
        return answers

    def _collect(
        self, first: int, answers: list[Refusal | None], replies: list[bytes] | None
    ) -> None:
        """Read until the last message is answered; when answers were lost, all are ENOBUFS."""
        lost = False
        last = len(answers) - 1
        while True:
            try:
                datagram = self._receive(wait=not lost)
            except OSError as error:
                if lost or error.errno not in {errno.ENOBUFS, errno.EAGAIN}:
                    answers[:] = [answer or Refusal(errno.ENOBUFS) for answer in answers]
                    return
                lost = True
                continue
            for part in parts(datagram):
                index = (part.sequence - first) & 0xFFFFFFFF
                if index > last:
                    continue
                if part.kind == NLMSG_ERROR:
                    answers[index] = _refusal(part)
                    if index == last and not lost:
                        return
                elif replies is not None:
                    replies.append(part.data[part.start : part.end])

    def _dump_once(
        self, doing: str, message: Message, read: Callable[[bytes, int, int], T | None]
    ) -> list[T] | None:
        """One dump, read to its end even when it is torn; None: torn."""
        self._sequence += 1
        mine = self._sequence & 0xFFFFFFFF
        kind, flags, body = message
        self._socket.send(HEADER.pack(16 + len(body), kind, flags | REQUEST | DUMP, mine, 0) + body)
        found: list[T] = []
        torn = False
        unpack = HEADER.unpack_from
        while True:
            data = self._receive(wait=True)
            offset, size = 0, len(data)
            while offset + 16 <= size:
                length, kind, flags, sequence, _ = unpack(data, offset)
                if sequence == mine:
                    torn = torn or bool(flags & DUMP_INTR)
                    if kind in {NLMSG_DONE, NLMSG_ERROR}:
                        status = -S32.unpack_from(data, offset + 16)[0] if length >= 20 else 0
                        if status:
                            raise KernelRefused(doing, status)
                        return None if torn else found
                    value = read(data, offset, offset + length)
                    if value is not None:
                        found.append(value)
                offset += (max(length, 16) + 3) & ~3

    def _receive(self, *, wait: bool) -> bytes:
        """One datagram from the kernel. Raises OSError: EMSGSIZE when it did not fit."""
        while True:
            data, _, flags, sender = self._socket.recvmsg(
                READ_BYTES, 0, 0 if wait else socket.MSG_DONTWAIT
            )
            if flags & socket.MSG_TRUNC:
                raise OSError(errno.EMSGSIZE, "netlink message cut off")
            if sender[0] == 0:
                return data


def _pieces(messages: Iterable[Message]) -> list[bytes]:
    pieces: list[bytes] = []
    for kind, flags, body in messages:
        head = HEAD.pack(HEADER.size + len(body), kind, flags | REQUEST)
        pieces += (head, b"", NO_PORT, body, b"")
    return pieces


def _refusal(part: _Part) -> Refusal | None:
    number = -S32.unpack_from(part.data, part.start + 16)[0]
    if not number:
        return None
    message = part.data[part.start : part.end]
    found = dict(attributes(message, ERROR_ATTRIBUTES))
    return Refusal(number, c_string(found.get(ERROR_TEXT, b"")))


def _set_if_known(opened: socket.socket, option: int) -> None:
    try:
        opened.setsockopt(SOL_NETLINK, option, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
