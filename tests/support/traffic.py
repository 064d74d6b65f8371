"""Traffic between two namespaces, counted where it arrives."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.support import netns

CHUNK = bytes(32768)
PATIENCE_SECONDS = 10.0
QUIET_SECONDS = 1.0
"""So long after the last packet none comes any more."""


def bytes_per_second(
    sender: str, receiver: str, address: str, seconds: float, port: int = 5201
) -> float:
    """What one TCP connection carries, counted by its receiver from the first byte on."""
    with ExitStack() as stack:
        listener = netns.call(receiver, lambda: _listening(address, port))
        stack.enter_context(listener)
        client = netns.call(sender, lambda: _connected(address, port))
        stack.enter_context(client)
        accepted, _ = listener.accept()
        stack.enter_context(accepted)
        accepted.settimeout(PATIENCE_SECONDS)
        stop = threading.Event()
        thread = threading.Thread(target=_send, args=(client, stop))
        thread.start()
        try:
            return _received(accepted, seconds)
        finally:
            stop.set()
            accepted.close()
            thread.join()


def datagrams_received(
    sender: str, receiver: str, address: str, count: int, per_second: int
) -> int:
    """How many of so many UDP datagrams arrive."""
    with netns.call(receiver, lambda: _bound(address, 5202)) as inbox:
        with netns.call(sender, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as out:
            for number in range(count):
                with suppress(OSError):
                    out.sendto(b"x", (address, 5202))
                if number % 10 == 9:
                    time.sleep(10 / per_second)
        return _drained(inbox)


@contextmanager
def connections(
    sender: str, receiver: str, address: str, port: int = 5203
) -> Iterator[Callable[[], bool]]:
    """A function that opens one more TCP connection; whether it could. All are closed at the end."""
    with ExitStack() as stack:
        listener = netns.call(receiver, lambda: _listening(address, port))
        stack.enter_context(listener)

        def open_one() -> bool:
            try:
                stack.enter_context(netns.call(sender, lambda: _connected(address, port)))
            except (ConnectionRefusedError, TimeoutError):
                return False
            return True

        yield open_one


def _listening(address: str, port: int) -> socket.socket:
    made = socket.create_server((address, port), backlog=64)
    made.settimeout(PATIENCE_SECONDS)
    return made


def _connected(address: str, port: int) -> socket.socket:
    return socket.create_connection((address, port), timeout=PATIENCE_SECONDS)


def _bound(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((address, port))
    made.settimeout(QUIET_SECONDS)
    return made


def _send(client: socket.socket, stop: threading.Event) -> None:
    with suppress(OSError):
        while not stop.is_set():
            client.sendall(CHUNK)


def _received(accepted: socket.socket, seconds: float) -> float:
    total = len(accepted.recv(1 << 16))
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        total += len(accepted.recv(1 << 20))
    return total / elapsed


def _drained(inbox: socket.socket) -> int:
    count = 0
    with suppress(TimeoutError):
        while True:
            inbox.recv(64)
            count += 1
    return count
