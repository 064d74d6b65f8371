"""The relay as a process between two pipes and a socket: it always reads, and never dies of what it reads."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgp import relay


class Relay:
    """The real program; the test plays ExaBGP and the agent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-I", relay.__file__, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=0o137,
            cwd="/",
        )
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def exabgp_says(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def exabgp_hears(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def attach(self) -> Agent:
        return Agent(self.path)

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        status = self.process.wait(5)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return status


class Agent:
    """An agent's connection."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        self.reader = self.socket.makefile("rb")
        self.hello = json.loads(self.reader.readline())["relay"]

    def close(self) -> None:
        self.reader.close()
        self.socket.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Relay]:
    started = Relay(tmp_path / "relay.sock")
    yield started
    assert started.end() == 0, "it ends when ExaBGP closes the pipe, and only then"


def test_the_socket_is_for_its_owner_alone(running: Relay) -> None:
    assert running.path.stat().st_mode & 0o777 == 0o600


def test_what_was_said_while_no_agent_was_there_is_kept(running: Relay) -> None:
    running.exabgp_says(b'{"one": 1}\n{"two"')
    running.exabgp_says(b": 2}\n")
    agent = running.attach()
    assert agent.hello["lost"] is False
    assert agent.hello["exabgp_pid"] == os.getpid()
    assert [agent.reader.readline() for _ in range(2)] == [b'{"one": 1}\n', b'{"two": 2}\n']
    agent.close()


def test_exabgp_is_read_however_much_it_says(running: Relay) -> None:
    started_at = time.monotonic()
    for _ in range(200):
        running.exabgp_says(b'{"x": 1234567890}\n' * 5000)
    assert time.monotonic() - started_at < 5
    agent = running.attach()
    read = sum(len(agent.reader.readline()) for _ in range(200 * 5000))
    assert read == 200 * 5000 * 18
    agent.close()


def test_only_whole_ascii_lines_reach_exabgp(running: Relay) -> None:
    agent = running.attach()
    agent.socket.sendall(b"show neigh")
    agent.socket.sendall("bor json\nn\u00e9ighbor\na\0b\nx\ry\n\nversion\nhalf".encode())
    assert running.exabgp_hears() == b"show neighbor json\n"
    assert running.exabgp_hears() == b"version\n"
    assert [agent.reader.readline() for _ in range(3)] == [b"error\n"] * 3
    agent.close()


def test_a_command_without_end_ends_the_connection_and_nothing_else(running: Relay) -> None:
    agent = running.attach()
    with pytest.raises(OSError):  # noqa: PT012  the relay may be faster than the second write
        agent.socket.sendall(b"x" * (3 << 20))
        agent.socket.sendall(b"x" * (3 << 20))
        agent.socket.recv(1)
        raise ConnectionResetError
    agent.close()
    again = running.attach()
    again.socket.sendall(b"version\n")
    assert running.exabgp_hears() == b"version\n"
    again.close()


def test_a_new_agent_replaces_the_old_one_and_gets_only_its_own_answers(running: Relay) -> None:
    old = running.attach()
    old.socket.sendall(b"first\nsecond\n")
    assert running.exabgp_hears() == b"first\n"
    assert running.exabgp_hears() == b"second\n"
    running.exabgp_says(b"done\n")
    assert old.reader.readline() == b"done\n"
    new = running.attach()
    assert old.reader.readline() == b""
    new.socket.sendall(b"third\n")
    assert running.exabgp_hears() == b"third\n"
    running.exabgp_says(b'error\n{"event": 1}\ndone\n')
    assert [new.reader.readline() for _ in range(2)] == [b'{"event": 1}\n', b"done\n"]
    old.close()
    new.close()


def test_bytes_that_are_no_text_do_not_end_it(running: Relay) -> None:
    running.exabgp_says(bytes(range(256)) * 1000 + b"\n")
    agent = running.attach()
    agent.socket.sendall(bytes(range(256)) * 100 + b"\nversion\n")
    assert running.exabgp_hears() == b"version\n"
    agent.close()


def test_it_needs_an_absolute_path() -> None:
    done = subprocess.run(
        [sys.executable, "-I", relay.__file__, "relay.sock"],
        capture_output=True,
        check=False,
        timeout=10,
    )
    assert done.returncode == 2
