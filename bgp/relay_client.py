"""The agent's end of the relay's socket: events into a stream, commands out, reconnecting for ever."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace

import structlog

from bgp.model import Event, RelayAttached
from bgp.wire import parse_line
from felix_py.runtime.schedule import Backoff
from felix_py.runtime.stream import Stream

log = structlog.get_logger(__name__)

READ_BYTES = 1 << 18
MAX_LINE_BYTES = 64 << 20
"""An event or dump line longer than this is no line of ExaBGP's: the connection is given up."""
SEND_SECONDS = 5.0
"""A relay that does not take commands for so long is given up and connected to again."""
STOP_SECONDS = 0.5
"""How soon it is noticed that the thread is to end."""
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 1.0


class RelayClient:
    """Connects to the relay and stays connected; one thread runs `run`, any may call `send`.

    The first time it connects after the first `reconnect`: until somebody knows what to make of them
    the events wait in the relay.
    """

    def __init__(self, path: str, stream: Stream[Event]) -> None:
        self._path = path
        self._stream = stream
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._number = 0
        self._wanted = threading.Event()

    @property
    def connected(self) -> bool:
        """A relay is there now."""
        return self._connection is not None

    def run(self, stop: threading.Event) -> None:
        """Read until asked to stop; a lost connection is tried again with a short backoff."""
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        while not stop.is_set():
            if not self._wanted.wait(STOP_SECONDS):
                continue
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(STOP_SECONDS)
                    connection.connect(self._path)
                    self._take(connection)
                    backoff.succeeded()
                    log.info("relay connected", path=self._path)
                    self._read(connection, stop)
            except OSError as error:
                log.debug("relay not reachable", path=self._path, error=str(error))
            finally:
                self._take(None)
            stop.wait(backoff.failed())

    def send(self, lines: Sequence[str], number: int) -> bool:
        """Commands to ExaBGP, whole lines without newline; False: nothing was sent.

        number: of the connection that they are meant for, as its RelayAttached said. Nothing is sent
        on another one: its answers would be taken for those of commands that were asked on it.
        What was sent and not answered when the connection ends is lost; the next RelayAttached
        says so.
        """
        with self._lock:
            connection = self._connection
            if connection is None or number != self._number:
                return False
            try:
                data = memoryview("".join(f"{line}\n" for line in lines).encode("ascii"))
                _send_all(connection, data)
            except OSError as error:
                log.warning("relay does not take commands", error=str(error))
                _shut(connection)
                return False
        return True

    def reconnect(self) -> None:
        """Give up the connection, as after lost events; the next RelayAttached starts over."""
        self._wanted.set()
        with self._lock:
            if self._connection is not None:
                _shut(self._connection)

    def _take(self, connection: socket.socket | None) -> None:
        with self._lock:
            self._connection = connection
            self._number += connection is not None

    def _read(self, connection: socket.socket, stop: threading.Event) -> None:
        pending = b""
        while not stop.is_set():
            try:
                data = connection.recv(READ_BYTES)
            except TimeoutError:
                continue
            if not data:
                log.warning("relay disconnected")
                return
            *lines, pending = (pending + data).split(b"\n") if pending else data.split(b"\n")
            for line in lines:
                for event in parse_line(line.decode("utf-8", "replace")):
                    self._stream.put(self._numbered(event))
            if len(pending) > MAX_LINE_BYTES:
                log.error("relay sends a line without end", size_bytes=len(pending))
                return

    def _numbered(self, event: Event) -> Event:
        if isinstance(event, RelayAttached):
            return replace(event, connection=self._number)
        return event


def _send_all(connection: socket.socket, data: memoryview) -> None:
    """The socket has a short time-out for reading; sending gets SEND_SECONDS of them."""
    tries = int(SEND_SECONDS / STOP_SECONDS)
    while data:
        try:
            data = data[connection.send(data) :]
        except TimeoutError:
            tries -= 1
            if not tries:
                raise


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
