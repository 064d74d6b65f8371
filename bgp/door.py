"""A door for questions: who told us of an address? `felixctl explain` asks, the loop answers.

<runDir>/bgp/ask.sock (0600): one line with an address, one line of JSON back. What is asked is what one
thread owns, so the answer is given between two rounds of the loop; a loop that is busy for too long
is told as such, and so is a door at which too many wait.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import structlog

from bgp.model import IPAddress

log = structlog.get_logger(__name__)

MAX_WAITING = 16
"""Questions not yet looked at; further ones are answered `busy`."""
BACKLOG = 16
ACCEPT_SECONDS = 0.5
"""How soon it is noticed that the thread is to end."""
AGAIN_SECONDS = 5.0
"""After which a door that could not be opened is tried again."""
ASK_SECONDS = 2.0
"""A caller that takes longer to ask, or to take the answer, is left alone."""
ANSWER_SECONDS = 5.0
"""How long the loop may take; then the answer is `busy`."""
MAX_LINE_BYTES = 128
MODE = 0o600

Answer = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """An address that somebody asks about; `answers` takes one answer."""

    address: IPAddress
    answers: queue.SimpleQueue[Answer] = field(default_factory=queue.SimpleQueue)


class Questions:
    """What was asked and not answered yet, bounded."""

    def __init__(self, ring: Callable[[], None] = lambda: None) -> None:
        self._ring = ring
        self._waiting: queue.Queue[Question] = queue.Queue(MAX_WAITING)

    def ask(self, address: IPAddress) -> Answer:
        """The loop's answer, or why there is none."""
        question = Question(address)
        try:
            self._waiting.put_nowait(question)
            self._ring()
            return question.answers.get(timeout=ANSWER_SECONDS)
        except (queue.Full, queue.Empty):
            return {"error": "busy"}

    def take_all(self) -> list[Question]:
        """Everything that waits, for the loop."""
        taken: list[Question] = []
        with contextlib.suppress(queue.Empty):
            while len(taken) < MAX_WAITING:
                taken.append(self._waiting.get_nowait())
        return taken


class Door:
    """Listens at the socket, one caller after the other; one thread runs `run`."""

    def __init__(self, path: Path, questions: Questions) -> None:
        self._path, self._questions = path, questions

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; a caller that misbehaves disturbs nobody else.

        A door that cannot be opened is tried again: no route must go because nobody can ask.
        """
        while not stop.is_set():
            try:
                with _listener(self._path) as listener:
                    self._listen(listener, stop)
            except OSError as error:
                log.warning("the door for questions cannot be held", reason=str(error))
                stop.wait(AGAIN_SECONDS)

    def _listen(self, listener: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except (TimeoutError, ConnectionAbortedError):
                continue
            with connection, contextlib.suppress(OSError):
                connection.settimeout(ASK_SECONDS)
                connection.sendall(json.dumps(self._serve(connection)).encode() + b"\n")

    def _serve(self, connection: socket.socket) -> Answer:
        text = b""
        while b"\n" not in text and len(text) < MAX_LINE_BYTES:
            received = connection.recv(MAX_LINE_BYTES)
            if not received:
                break
            text += received
        try:
            address = ip_address(text.strip().decode("ascii"))
        except ValueError:
            return {"error": "ask for an address"}
        return self._questions.ask(address)


def _listener(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(MODE)  # before it listens nobody gets in
        listener.listen(BACKLOG)
        listener.settimeout(ACCEPT_SECONDS)
    except OSError:
        listener.close()
        raise
    return listener
