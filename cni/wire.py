"""The frames between shim and server (the other side is shim/frame.c), read with bounds."""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from typing import Self

from cni.answers import Answer
from cni.errors import BrokenFrame
from cni.request import RawRequest

MAGIC = b"FPC1"
FIELDS = 7
MAX_FIELD_BYTES = 64 << 10
MAX_STDIN_BYTES = 1 << 20
FRAME_SECONDS = 10.0
"""The shim has everything in hand when it connects; a request that takes longer is given up."""

MAX_DESCRIPTORS = 4
CHUNK = 1 << 16


class Connection:
    """One request of one shim. A context manager: the descriptor that came with it is closed."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()
        self._descriptors: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._socket.close()

    @property
    def descriptor(self) -> int | None:
        """The pod's open network namespace, if one came."""
        return self._descriptors[0] if self._descriptors else None

    def read_request(self) -> RawRequest:
        """The request. Raises BrokenFrame, TimeoutError, ConnectionError."""
        deadline = time.monotonic() + FRAME_SECONDS
        if self._take(len(MAGIC), deadline) != MAGIC:
            raise BrokenFrame("the shim speaks another protocol; install the one of this version")
        fields = [self._field(index, deadline) for index in range(FIELDS)]
        try:
            command, container_id, netns, ifname, args, _path = (
                field.decode("utf-8") for field in fields[:-1]
            )
        except UnicodeDecodeError as error:
            raise BrokenFrame("a CNI_* variable is not UTF-8") from error
        return RawRequest(command, container_id, netns, ifname, args, fields[-1])

    def send(self, answer: Answer) -> None:
        """Exit code and text. A shim that is gone raises ConnectionError."""
        self._socket.settimeout(FRAME_SECONDS)
        self._socket.sendall(struct.pack("!II", answer.exit_code, len(answer.text)) + answer.text)

    def _field(self, index: int, deadline: float) -> bytes:
        [length] = struct.unpack("!I", self._take(4, deadline))
        if length > (MAX_STDIN_BYTES if index == FIELDS - 1 else MAX_FIELD_BYTES):
            raise BrokenFrame(f"field {index} has {length} bytes")
        return self._take(length, deadline)

    def _take(self, length: int, deadline: float) -> bytes:
        while len(self._buffer) < length:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            self._receive()
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def _receive(self) -> None:
        size = array.array("i").itemsize
        data, control, _flags, _address = self._socket.recvmsg(
            CHUNK, socket.CMSG_SPACE(MAX_DESCRIPTORS * size), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % size])
                self._descriptors.extend(received)
        if not data:
            raise ConnectionResetError("the shim is gone")
        self._buffer += data
