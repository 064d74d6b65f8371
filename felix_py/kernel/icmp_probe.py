"""Echo requests of a given size that nobody may fragment: what a path carries, and who says so.

The socket tells the kernel to forget what it learned of the path (IP_PMTUDISC_PROBE), so that each
probe goes out as large as its link allows. Sizes are those of the whole IP packet, in bytes. Needs
CAP_NET_RAW.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import IPAddress

SMALL = {4: 84, 6: 104}
"""What ping sends; whatever does not pass this is no matter of size."""
LEAST = {4: 576, 6: 1280}
"""What every path must carry (RFC 791's hosts, RFC 8200): the search ends here."""
WAIT_SECONDS = 0.7
ATTEMPTS = 2
"""A size counts as lost after so many requests without an answer."""

IP_MTU_DISCOVER, IP_RECVERR, PMTUDISC_PROBE = 10, 11, 3
IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_DONTFRAG = 23, 25, 62
IP_PKTINFO, IPV6_PKTINFO, IPV6_RECVPKTINFO = 8, 50, 49
IPV6_HOPLIMIT, IPV6_RECVHOPLIMIT = 52, 51
HEADER = {4: 20, 6: 40}
ECHO = struct.Struct("!BBHHH")
"""type, code, checksum, identifier, sequence."""
REQUEST, REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
EXTENDED_ERROR = struct.Struct("=IBBBBII")
"""sock_extended_err: errno, origin, type, code, padding, info (the MTU), data; the offender follows."""
BUFFER_BYTES = 1 << 17


@dataclass(frozen=True, slots=True)
class Echo:
    """An answer: the hops that were left to it, and the index of the link it came by."""

    ttl: int | None
    link: int


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Somebody said that it does not fit; `by` None: this host's own link. mtu 0: not told."""

    mtu: int
    by: IPAddress | None


@dataclass(frozen=True, slots=True)
class Path:
    """What a path was found to carry. fits 0: not even a small packet was answered."""

    fits: int
    echo: Echo | None = None
    limit: TooLarge | None = None


def measure(address: IPAddress, wanted: int) -> Path:
    """The largest size up to `wanted` that is answered. Raises KernelRefused (no right, no route).

    Takes a round trip when all is well, and at most some ten seconds: every lost size costs
    ATTEMPTS * WAIT_SECONDS, and there are ten halvings between 576 and 1500.
    """
    try:
        with _Prober(address) as prober:
            return prober.measure(wanted)
    except OSError as error:
        raise KernelRefused(f"probe {address}", error.errno or errno.EIO) from error


class _Prober:
    """One socket to one address."""

    def __init__(self, address: IPAddress) -> None:
        self._version = address.version
        four = address.version == 4
        family = socket.AF_INET if four else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
        self._socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._sequence = 0
        self._limit: TooLarge | None = None
        try:
            self._configure(four=four)
            self._socket.connect((str(address), 0))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def measure(self, wanted: int) -> Path:
        """See the function of this name."""
        small = min(SMALL[self._version], wanted)
        echo = self._ask(small)
        if echo is None:
            return Path(0)
        if self._ask(wanted) is not None:
            return Path(wanted, echo)
        limit, told = self._limit, self._limit.mtu if self._limit is not None else 0
        if small < told < wanted and self._ask(told) is not None:
            return Path(told, echo, limit)
        return Path(self._search(small, wanted), echo, limit)

    def _search(self, small: int, wanted: int) -> int:
        least = LEAST[self._version]
        low, high = small, wanted
        if small < least < wanted:
            if self._ask(least) is None:
                return small
            low = least
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._ask(middle) is None else (middle, high)
        return low

    def _ask(self, size: int) -> Echo | None:
        """The answer to a request of this size, None when there was none; notes who refused it."""
        for _ in range(ATTEMPTS):
            self._sequence = (self._sequence + 1) & 0xFFFF
            try:
                self._socket.send(self._request(size))
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                self._read_errors()
                self._limit = self._limit or TooLarge(0, None)
                return None
            echo = self._await_answer()
            if echo is not None:
                return echo
            if self._limit is not None and size > self._limit.mtu > 0:
                return None
        return None

    def _await_answer(self) -> Echo | None:
        deadline = time.monotonic() + WAIT_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data, control, _, _ = self._socket.recvmsg(BUFFER_BYTES, 256)
            except TimeoutError:
                return None
            except OSError:
                self._read_errors()
                if self._limit is not None:
                    return None
                continue
            echo = self._read_answer(data, control)
            if echo is not None:
                return echo
        return None

    def _read_answer(self, data: bytes, control: list[tuple[int, int, bytes]]) -> Echo | None:
        ttl, offset = None, 0
        if self._version == 4 and len(data) >= 20:
            ttl, offset = data[8], (data[0] & 15) * 4
        if len(data) < offset + ECHO.size:
            return None
        kind, _, _, identifier, sequence = ECHO.unpack_from(data, offset)
        answered = (kind, identifier, sequence)
        if answered != (REPLY[self._version], self._identifier, self._sequence):
            return None
        link = 0
        for level, item, payload in control:
            if (level, item) == (socket.IPPROTO_IP, IP_PKTINFO):
                [link] = struct.unpack_from("=i", payload)
            elif (level, item) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
                [link] = struct.unpack_from("=I", payload, 16)
            elif (level, item) == (socket.IPPROTO_IPV6, IPV6_HOPLIMIT):
                [ttl] = struct.unpack_from("=i", payload)
        return Echo(ttl, link)

    def _read_errors(self) -> None:
        """Empty the socket's error queue; a size that did not fit becomes the limit."""
        while True:
            try:
                _, control, _, _ = self._socket.recvmsg(
                    BUFFER_BYTES, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT
                )
            except OSError:
                return
            for _, _, payload in control:
                if len(payload) < EXTENDED_ERROR.size:
                    continue
                number, origin, _, _, _, mtu, _ = EXTENDED_ERROR.unpack_from(payload)
                if number == errno.EMSGSIZE:
                    own = origin <= 1  # SO_EE_ORIGIN_NONE, SO_EE_ORIGIN_LOCAL
                    self._limit = TooLarge(mtu, None if own else _offender(payload))

    def _request(self, size: int) -> bytes:
        kind = REQUEST[self._version]
        padding = bytes(size - HEADER[self._version] - ECHO.size)
        plain = ECHO.pack(kind, 0, 0, self._identifier, self._sequence) + padding
        if self._version == 6:
            return plain  # the kernel fills in the checksum, which covers its own header
        return ECHO.pack(kind, 0, _checksum(plain), self._identifier, self._sequence) + padding

    def _configure(self, *, four: bool) -> None:
        level = socket.IPPROTO_IP if four else socket.IPPROTO_IPV6
        options = (
            ((IP_MTU_DISCOVER, PMTUDISC_PROBE), (IP_RECVERR, 1), (IP_PKTINFO, 1))
            if four
            else (
                (IPV6_MTU_DISCOVER, PMTUDISC_PROBE),
                (IPV6_DONTFRAG, 1),
                (IPV6_RECVERR, 1),
                (IPV6_RECVPKTINFO, 1),
                (IPV6_RECVHOPLIMIT, 1),
            )
        )
        for option, value in options:
            self._socket.setsockopt(level, option, value)


def _offender(payload: bytes) -> IPAddress | None:
    """The address behind a sock_extended_err: a sockaddr of either family."""
    rest = payload[EXTENDED_ERROR.size :]
    family = int.from_bytes(rest[:2], "little") if len(rest) >= 2 else 0
    if family == socket.AF_INET and len(rest) >= 8:
        return ip_address(rest[4:8])
    if family == socket.AF_INET6 and len(rest) >= 24:
        return ip_address(rest[8:24])
    return None


def _checksum(data: bytes) -> int:
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
