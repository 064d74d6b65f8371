"""One address before an etcd, as a Service is before its members: connections can be made to hang."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

PIECE = 65_536


class OneAddress:
    """Passes TCP on; after `hang` what is connected stays open and silent, and new connections work."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._hung = threading.Event()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        for each in self._open:
            each.close()

    def hang(self) -> None:
        """From now on nothing comes through what is connected."""
        self._hung.set()
        self._hung = threading.Event()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self.accepted += 1
                self._open += [client, server]
                for one, other in ((client, server), (server, client)):
                    arguments = (one, other, self._hung)
                    threading.Thread(target=_pass_on, args=arguments, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, hung: threading.Event) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE):
            if hung.is_set():
                return
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
