"""The daemon's door: a Unix socket, a bounded pool of workers, one request per connection.

Every worker accepts for itself. What the workers cannot take waits in the listening socket's
backlog; when that is full the shim waits, and answers "try again later" after ten seconds.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Protocol

import structlog

from cni import answers
from cni.answers import Answer
from cni.errors import BrokenFrame
from cni.netconf import SUPPORTED_VERSIONS
from cni.request import RawRequest
from cni.wire import Connection
from felix_py.runtime.supervisor import Supervisor

log = structlog.get_logger(__name__)

WORKERS = 16
BACKLOG = 128
ACCEPT_SECONDS = 0.5
"""How long an idle worker sleeps before it looks whether it should stop."""


class Answering(Protocol):
    """What answers requests (service.Service)."""

    def answer(self, raw: RawRequest, descriptor: int | None) -> Answer:
        """The answer; never raises."""
        ...


class Server:
    """Listens from construction on, so that a shim of a restarting node waits as short as it can."""

    def __init__(self, path: Path, service: Answering) -> None:
        self._path = path
        self._service = service
        path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = _listen(path)

    def add_to(self, supervisor: Supervisor) -> None:
        """Register the workers."""
        for number in range(WORKERS):
            supervisor.add(f"cni-worker-{number}", self.work)

    def work(self, stop: threading.Event) -> None:
        """Accept and answer until asked to stop."""
        while not stop.is_set():
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            with Connection(accepted) as connection:
                self._serve(connection)

    def close(self) -> None:
        """Stop listening. The socket's file stays: a shim waits for the next server either way."""
        self._listener.close()

    def _serve(self, connection: Connection) -> None:
        try:
            raw = connection.read_request()
        except BrokenFrame as error:
            with contextlib.suppress(OSError):
                connection.send(answers.failure(error, SUPPORTED_VERSIONS[-1]))
            return
        except OSError as error:
            log.info("request not received", why=str(error))
            return
        answer = self._service.answer(raw, connection.descriptor)
        try:
            connection.send(answer)
        except OSError as error:
            log.info("answer not delivered", container=raw.container_id[:80], why=str(error))


def _listen(path: Path) -> socket.socket:
    """A listening socket, mode 0600 from its first moment, put in place of whatever was there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mask = os.umask(0o177)
        try:
            listener.bind(str(fresh))
        finally:
            os.umask(mask)
        listener.listen(BACKLOG)
        seconds = int(ACCEPT_SECONDS)
        micros = int((ACCEPT_SECONDS - seconds) * 1_000_000)
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, micros)
        )
        fresh.replace(path)
    except BaseException:
        listener.close()
        raise
    return listener
