"""The BGP side of one node in a namespace: the real launcher, ExaBGP and relay, and a small agent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import TracebackType
from typing import Self

from bgp.dialogue import Dialogue
from bgp.exabgp_files import ConfigFiles
from bgp.exabgp_process import ExabgpProcess
from bgp.exabgp_watch import Watch
from bgp.launcher_client import LauncherAway, LauncherClient, LauncherStatus
from bgp.model import (
    Acknowledged,
    Attributes,
    Event,
    Family,
    IPAddress,
    IPNetwork,
    PathsReceived,
    PeerDown,
    Peering,
    PeerUp,
    RelayAttached,
    Reply,
)
from bgp.relay_client import RelayClient
from bgp.speaker import Speaker
from felix_py.runtime.stream import Stream
from tests.support import netns
from tests.support.bird import until

ROOT = Path(__file__).parents[2]
EXABGP_UID = 64179
SYSTEM_PYTHON = "/usr/bin/python3"
"""The test's own interpreter may lie in a home directory that ExaBGP's user cannot enter."""


def library_path() -> str:
    """PYTHONPATH that has our packages and exabgp."""
    found = find_spec("exabgp")
    assert found is not None
    assert found.origin is not None
    return f"{ROOT}:{Path(found.origin).parents[1]}"


class Agent:
    """What the BGP agent does, without etcd: one thread, fed by the relay."""

    def __init__(self, directory: Path, *, launcher: LauncherClient, options: str = "") -> None:
        self.events: list[Event] = []
        self.received: dict[IPNetwork, str] = {}
        self.up: set[IPAddress] = set()
        self._families: dict[IPAddress, tuple[Family, ...]] = {}
        self._stop = threading.Event()
        self._todo: list[Callable[[], object]] = []
        self.stream: Stream[Event] = Stream(100_000)
        self.client = RelayClient(str(directory / "relay.sock"), self.stream)
        self.client.reconnect()
        self.dialogue = Dialogue(
            lambda lines: self.client.send(lines, self.dialogue.connection), time.monotonic
        )
        self.speaker = Speaker(self.dialogue, time.monotonic)
        self.watch = Watch(self.dialogue, launcher, lambda: self.client.connected)
        relay = f"{SYSTEM_PYTHON} -I {ROOT}/bgp/relay.py {directory}/relay.sock{options}"
        files = ConfigFiles(directory, sys.executable)
        self.process = ExabgpProcess(
            relay, files, self.dialogue, self.speaker, self.watch, self.handle
        )
        self._threads = [
            threading.Thread(target=self.client.run, args=(self._stop,)),
            threading.Thread(target=self._run),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """As a crash of the agent: nothing is said to anybody."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.process.close()

    def do(self, what: Callable[[], object]) -> None:
        """Have the agent's own thread do something, and wait for it."""
        done = threading.Event()

        def act() -> None:
            what()
            done.set()

        self._todo.append(act)
        assert done.wait(10)

    def want(self, peerings: Sequence[Peering]) -> None:
        """The sessions this node should have."""
        self._families.update({one.peer: one.families for one in peerings})
        self.do(lambda: self.process.want(peerings))

    def say(self, peer: str, prefixes: Mapping[str, Attributes]) -> None:
        """All that this peer should hear."""
        routes = {ip_network(prefix): attributes for prefix, attributes in prefixes.items()}
        self.do(lambda: self.speaker.set(ip_address(peer), routes))

    def handle(self, event: Event) -> None:
        """One event, in the agent's thread."""
        self.events.append(event)
        match event:
            case RelayAttached():
                self.up.clear()
                self.process.attached(event, time.monotonic())
            case Acknowledged():
                self.speaker.acknowledged(event.ok)
            case Reply():
                self.dialogue.reply(event.text)
            case PeerUp():
                self.up.add(event.peer)
                self.speaker.session_up(event.peer, self._families.get(event.peer, ()))
            case PeerDown():
                self.up.discard(event.peer)
                self.speaker.session_down(event.peer)
            case PathsReceived():
                for prefix in event.withdrawn:
                    self.received.pop(prefix, None)
                for heard in event.announced:
                    self.received.update(dict.fromkeys(heard.prefixes, str(heard.path.next_hop)))
            case _:
                pass

    def _run(self) -> None:
        while not self._stop.is_set():
            events, _ = self.stream.take_all(0.02)
            for event in events:
                self.handle(event)
            todo, self._todo = self._todo, []
            for what in todo:
                what()
            self.speaker.flush()
            self.process.step(time.monotonic())


class BgpNode:
    """A launcher in a namespace and the agents that talk to its ExaBGP; a context manager."""

    def __init__(self, namespace: str, run_dir: Path) -> None:
        self.namespace = namespace
        self.run_dir = run_dir
        self.directory = run_dir / "bgp"
        self.client = LauncherClient(str(self.directory / "launcher.sock"))
        self.agent: Agent | None = None
        self._launcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start_launcher()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.agent is not None:
            self.agent.stop()
        if self._launcher is not None:
            if (pid := self.exabgp_pid()) is not None:
                with contextlib.suppress(ProcessLookupError):  # it may be between two lives
                    os.kill(pid, signal.SIGCONT)
            self._launcher.terminate()
            self._launcher.wait(10)

    def start_launcher(self) -> None:
        """Start it and wait until it answers."""
        with (self.run_dir / "launcher.log").open("ab") as log:
            self._launcher = subprocess.Popen(
                netns.command(
                    self.namespace, SYSTEM_PYTHON, "-m", "bgp.launcher",
                    "--run-dir", str(self.run_dir), "--user", str(EXABGP_UID), "--python", SYSTEM_PYTHON,
                ),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": library_path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )  # fmt: skip
        until(lambda: self.status() is not None)

    def kill_launcher(self) -> None:
        """kill -9."""
        assert self._launcher is not None
        self._launcher.kill()
        self._launcher.wait()
        self._launcher = None

    def status(self) -> LauncherStatus | None:
        """What the launcher says, None when it is not there."""
        try:
            return self.client.status()
        except LauncherAway:
            return None

    def exabgp_pid(self) -> int | None:
        """The ExaBGP that runs now."""
        status = self.status()
        return None if status is None else status.pid

    def relay_pid(self) -> int:
        """The relay: ExaBGP's only child; 0 while it is being replaced."""
        pid = self.exabgp_pid()
        assert pid is not None
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def start_agent(self) -> Agent:
        """A fresh agent with an empty memory."""
        until(self.directory.is_dir)
        self.agent = Agent(self.directory, launcher=self.client)
        return self.agent

    def log(self) -> str:
        """What launcher, ExaBGP and relay wrote."""
        return (self.run_dir / "launcher.log").read_text()
