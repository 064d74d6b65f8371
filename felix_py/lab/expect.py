"""Sentences about who reaches whom: say them, then check them all at once, as often as time allows.

    expect = Expectations(home, topology)
    expect.reaches("pod-a1-1", "pod-b1-1")
    expect.nobody("pod-a1-1", "pod-b2-1")
    assert not expect.check(timeout_seconds=10)

"Reaches" means: a ping is answered, and its TTL shows exactly the routers that the topology has on
the way (a tunnel hides some), and the TCP server behind the address says the right name, and that it
sees the pod under its own address, or outside the pools under its node's where the pool says so.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from felix_py.lab import answering, namespaces, paths, pods
from felix_py.lab.addressing import node_address, targets_outside
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.paths import Way
from felix_py.lab.pods import Pod
from felix_py.lab.topology import Topology

PROBE = Path(__file__).with_name("probe.py")
PROBE_SECONDS = 2.0
SILENCE_SECONDS = 1.0
"""How long nobody must answer for `nobody` to hold."""
FIRST_TTL = 64
"""What Linux gives a packet on its way."""
AT_ONCE = 4

Pair = tuple[str, str, int]
"""Source, target, IP version."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How a target looked from a pod, and how it should.

    saw: the address under which the target saw the pod; expected: the one it should be.
    """

    source: str
    target: str
    ttl: int | None
    said: str | None
    way: Way
    saw: str | None = None
    expected: str | None = None
    version: int = 4

    @property
    def routers(self) -> int:
        """How many routers stand between the two."""
        return self.way.routers

    @property
    def complaint(self) -> str | None:
        """What is wrong when the target should be reached, None if nothing."""
        what = f"{self.source} -> {self.target}" + (" by IPv6" if self.version == 6 else "")
        if self.ttl is None:
            return f"{what}: no answer to a ping"
        passed = FIRST_TTL - self.ttl
        if passed != self.routers:
            by = f" by {self.way.tunnel}" if self.way.tunnel else ""
            return (
                f"{what}: the answer passed {passed} routers, the topology has {self.routers}{by}"
            )
        if self.said != self.target:
            return f"{what}: TCP answered {self.said!r}"
        if self.saw != self.expected:
            return f"{what}: is seen as {self.saw}, and should be as {self.expected}"
        return None


class Expectations:
    """A list of sentences about one lab."""

    def __init__(self, home: Home, topology: Topology) -> None:
        self._home = home
        self._topology = topology
        self._wanted: dict[Pair, bool] = {}
        self._outside = {version: targets_outside(topology, version) for version in (4, 6)}
        self.seen: dict[Pair, Seen] = {}

    def reaches(self, source: str, target: str, version: int = 4) -> None:
        """This pod reaches that pod, ToR's outside address or outside host."""
        self._wanted[source, target, version] = True

    def nobody(self, source: str, target: str, version: int = 4) -> None:
        """This pod gets no answer from that one, neither to pings nor by TCP."""
        self._wanted[source, target, version] = False

    def everything(self) -> None:
        """Every pod reaches every other pod, and whatever outside has a way back to it."""
        running = pods.every(self._home)
        for version in (4, 6):
            speaking = [pod for pod in running if pod.addressed(version)]
            for pod in speaking:
                for other in speaking:
                    if other != pod:
                        self.reaches(pod.name, other.name, version)
                for name in self._outside[version]:
                    if paths.answered(self._topology, pod.node, pod.addressed(version), name):
                        self.reaches(pod.name, name, version)

    def check(self, timeout_seconds: float) -> list[str]:
        """What does not hold, in words; looks again at what failed until the time is over."""
        deadline = time.monotonic() + timeout_seconds
        left = dict(self._wanted)
        while True:
            complaints = self._look(left)
            left = {pair: self._wanted[pair] for pair in complaints}
            if not left or time.monotonic() > deadline:
                return list(complaints.values())

    def _look(self, wanted: Mapping[Pair, bool]) -> dict[Pair, str]:
        everyone = {pod.name: pod for pod in pods.every(self._home)}
        by_source: dict[tuple[str, int], list[str]] = {}
        for source, target, version in wanted:
            by_source.setdefault((source, version), []).append(target)
        with ThreadPoolExecutor(AT_ONCE) as workers:
            jobs = [
                workers.submit(
                    self._probe,
                    everyone,
                    _known(everyone, source),
                    version,
                    {target: wanted[source, target, version] for target in targets},
                )
                for (source, version), targets in by_source.items()
            ]
            for job in jobs:
                self.seen |= job.result()
        complaints = {}
        for pair, should in wanted.items():
            complaint = _judge(self.seen[pair], reached=should)
            if complaint is not None:
                complaints[pair] = complaint
        return complaints

    def _probe(
        self, everyone: Mapping[str, Pod], source: Pod, version: int, wanted: Mapping[str, bool]
    ) -> dict[Pair, Seen]:
        asked = {
            "targets": {target: self._address(everyone, target, version) for target in wanted},
            "port": answering.PORT,
            "seconds": PROBE_SECONDS if all(wanted.values()) else SILENCE_SECONDS,
        }
        enter = ["nsenter", f"--net={namespaces.path(source.netns)}", "--"]
        command = [*enter, sys.executable, "-I", "-S", str(PROBE)]
        answered = json.loads(namespaces.run(command, stdin=json.dumps(asked)))
        return {
            (source.name, target, version): self._seen(
                everyone, source, target, version, answered[target]
            )
            for target in wanted
        }

    def _seen(
        self,
        everyone: Mapping[str, Pod],
        source: Pod,
        target: str,
        version: int,
        answered: Mapping[str, Any],
    ) -> Seen:
        place = everyone[target].node if target in everyone else target
        own = source.addressed(version)
        way = paths.between(self._topology, source.node, place, own)
        node = str(node_address(self._topology, source.node, version).ip)
        return Seen(
            source.name,
            target,
            answered["ttl"],
            answered["said"],
            way,
            answered["saw"],
            node if way.translated else own,
            version,
        )

    def _address(self, everyone: Mapping[str, Pod], target: str, version: int) -> str:
        outside = self._outside[version].get(target)
        found = outside or _known(everyone, target).addressed(version)
        if not found:
            raise LabError(f"{target}: has no IPv{version} address")
        return str(found)


def _judge(seen: Seen, *, reached: bool) -> str | None:
    if reached:
        return seen.complaint
    if seen.ttl is None and seen.said is None:
        return None
    return f"{seen.source} -> {seen.target}: is reached, and should not be"


def _known(everyone: Mapping[str, Pod], name: str) -> Pod:
    if name not in everyone:
        raise LabError(f"{name}: no such pod or place outside; there are: {', '.join(everyone)}")
    return everyone[name]
