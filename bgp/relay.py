"""ExaBGP's handler process: reads whatever ExaBGP says, always, and passes it on to the agent.

ExaBGP writes to its handler with a blocking write in its only thread: a handler that does not read
stops the keepalives of every session. So one thread does nothing but read, another sends to the
agent, a third takes the agent's commands. There is no logic here, and the standard library alone,
so that the agent can crash, restart and be upgraded while the sessions stay up.

Run by ExaBGP as `python3 -I relay.py <socket>`; ends only when ExaBGP closes its standard input.
ExaBGP starts it in `/` with umask 0137: the socket's path must be absolute.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections import deque
from typing import NoReturn

PIPE_BYTES = 1 << 20
READ_BYTES = 1 << 18
MARK_BYTES = 256 << 20
"""At this mark all that is queued is dropped, the agent is disconnected and told at its next
attach that something is lost, after which it asks for everything again."""
MAX_LINE_BYTES = (1 << 20) - 1
"""ExaBGP ends a handler whose command passes 1 MiB; longer ones are not passed on."""
ANSWERS = frozenset({b"done", b"error"})


class Queue:
    """Whole lines from ExaBGP, oldest first, bounded by MARK_BYTES.

    An item is (attachment, bytes). Events belong to attachment 0: any agent. Answers belong to
    the agent whose command they answer; another one must not take them for its own.
    """

    def __init__(self, mark_bytes: int = MARK_BYTES) -> None:
        self._items: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._mark_bytes = mark_bytes
        self._asked_by: deque[int] = deque()
        self._changed = threading.Condition()
        self._lost = False
        self._reader = 0
        self.overflows = 0

    def put(self, block: bytes) -> None:
        """A block of whole lines; answers in it are set apart."""
        if b"done\n" not in block and b"error\n" not in block:
            self._append([(0, block)])
            return
        items: list[tuple[int, bytes]] = []
        for line in block.splitlines(keepends=True):
            is_answer = line.rstrip() in ANSWERS
            owner = (self._asked_by.popleft() if self._asked_by else -1) if is_answer else 0
            items.append((owner, line))
        self._append(items)

    def asked(self, attachment: int) -> None:
        """The agent of this attachment sends one command to ExaBGP."""
        self._asked_by.append(attachment)

    def refuse(self, attachment: int) -> None:
        """Answer in ExaBGP's place a command that must not reach it."""
        self._append([(attachment, b"error\n")])

    def serves(self, attachment: int) -> bool:
        """This agent is the one that takes; not after it left, was replaced or was too slow."""
        with self._changed:
            return self._reader == attachment

    def take(self, attachment: int, timeout_seconds: float) -> bytes:
        """What there is for this agent, up to a reasonable write; empty after the time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._items or self._reader != attachment, timeout_seconds
            )
            if self._reader != attachment:
                return b""
            taken: list[bytes] = []
            size = 0
            while self._items and size < READ_BYTES:
                owner, block = self._items.popleft()
                self._bytes -= len(block)
                if owner in {0, attachment}:
                    taken.append(block)
                    size += len(block)
            return b"".join(taken)

    def attach(self, attachment: int) -> bool:
        """From now on this agent alone takes; whether something was dropped since the last one."""
        with self._changed:
            self._reader = attachment
            lost, self._lost = self._lost, False
            self._changed.notify_all()
            return lost

    def detach(self, attachment: int) -> None:
        """This agent is gone: what comes is kept for the next one."""
        with self._changed:
            if self._reader == attachment:
                self._reader = 0
            self._changed.notify_all()

    def _append(self, items: list[tuple[int, bytes]]) -> None:
        with self._changed:
            self._items.extend(items)
            self._bytes += sum(len(block) for _, block in items)
            if self._bytes > self._mark_bytes:
                self._items.clear()
                self._bytes = 0
                self._lost = True
                self._reader = 0
            self._changed.notify_all()


class Commands:
    """ExaBGP's end: whole ASCII lines below 1 MiB; anything else would end or confuse the handler."""

    def __init__(self, descriptor: int, queue: Queue) -> None:
        self._descriptor = descriptor
        self._queue = queue
        self._lock = threading.Lock()

    def pass_on(self, line: bytes, attachment: int) -> None:
        """One command without its newline; refused ones are named on standard error."""
        if not line.strip():
            return
        if len(line) >= MAX_LINE_BYTES or not line.isascii() or b"\r" in line or b"\0" in line:
            say(f"command of {len(line)} bytes refused: not one line of ASCII below 1 MiB")
            self._queue.refuse(attachment)
            return
        with self._lock:
            self._queue.asked(attachment)
            data = memoryview(line + b"\n")
            while data:
                data = data[os.write(self._descriptor, data) :]


class Agent:
    """One connection of the agent: a sending and a receiving thread."""

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number = number
        self._connection = connection

    def start(self, queue: Queue, commands: Commands, hello: bytes) -> None:
        """Greet the agent and serve it until it is gone."""
        for target in (self._send, self._receive):
            arguments = (queue, hello) if target == self._send else (queue, commands)
            threading.Thread(target=target, args=arguments, daemon=True).start()

    def end(self, queue: Queue) -> None:
        """Disconnect it; both threads end soon."""
        queue.detach(self.number)
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _send(self, queue: Queue, hello: bytes) -> None:
        try:
            self._connection.sendall(hello)
            while queue.serves(self.number):
                if data := queue.take(self.number, 5.0):
                    self._connection.sendall(data)
        except OSError:
            pass
        self.end(queue)

    def _receive(self, queue: Queue, commands: Commands) -> None:
        pending = b""
        try:
            while data := self._connection.recv(READ_BYTES):
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    commands.pass_on(line, self.number)
                if len(pending) > MAX_LINE_BYTES:
                    say("command without end refused, agent disconnected")
                    break
        except OSError:
            pass
        self.end(queue)


def say(text: str) -> None:
    """To the log that ExaBGP and we share."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"relay: {text}\n")
        sys.stderr.flush()


def read_forever(descriptor: int, queue: Queue) -> None:
    """Queue whole lines from ExaBGP until it closes the pipe."""
    partial = b""
    while True:
        try:
            data = os.read(descriptor, READ_BYTES)
        except InterruptedError:
            continue
        if not data:
            return
        end = data.rfind(b"\n") + 1
        if end == 0:
            partial += data
            continue
        queue.put(partial + data[:end])
        partial = data[end:]


def listen(path: str) -> socket.socket:
    """The socket for the agent, mode 0600; what a killed predecessor left there is replaced."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = f"{path}.{os.getpid()}"
    old_mask = os.umask(0o177)
    try:
        server.bind(fresh)
    finally:
        os.umask(old_mask)
    server.listen(4)
    os.rename(fresh, path)  # noqa: PTH104  a light start
    return server


def accept_forever(server: socket.socket, queue: Queue, commands: Commands) -> NoReturn:
    """One agent at a time: a new connection replaces the old one."""
    epoch = f"{os.getpid()}-{time.time_ns()}"
    agent: Agent | None = None
    number = 0
    while True:
        try:
            connection, _ = server.accept()
        except OSError as error:
            say(f"accept failed: {error.strerror}")
            time.sleep(0.1)
            continue
        if agent is not None:
            agent.end(queue)
        number += 1
        agent = Agent(number, connection)
        lost = queue.attach(number)
        facts = {"epoch": epoch, "exabgp_pid": os.getppid(), "lost": lost}
        agent.start(queue, commands, json.dumps({"relay": facts}).encode() + b"\n")


def listen_until_possible(path: str) -> socket.socket:
    """Listening can fail while the directory is not there yet; ExaBGP is read all the while."""
    while True:
        try:
            return listen(path)
        except OSError as error:
            say(f"{path}: {error.strerror}")
            time.sleep(1)


def serve(path: str, queue: Queue, commands: Commands) -> None:
    """The agent's side."""
    accept_forever(listen_until_possible(path), queue, commands)


def main() -> int:
    """Relay until ExaBGP closes standard input; 2 when the socket's path is missing."""
    if len(sys.argv) != 2 or not os.path.isabs(sys.argv[1]):  # noqa: PTH117  a light start
        say("usage: relay.py <absolute path of the socket>")
        return 2
    try:
        fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError as error:
        say(f"pipe stays small: {error.strerror}")
    queue = Queue()
    commands = Commands(1, queue)
    threading.Thread(target=serve, args=(sys.argv[1], queue, commands), daemon=True).start()
    read_forever(0, queue)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)
