"""Sentences about who reaches whom: say them, then check them all at once, as often as time allows.

    expect = Expectations(home, topology)
    expect.reaches("pod-a1-1", "pod-b1-1")
    expect.nobody("pod-a1-1", "pod-b2-1")
    assert not expect.check(timeout_seconds=10)

"Reaches" means: a ping is answered, and its TTL shows exactly the routers that the topology has on
the way (a tunnel would hide some), and the TCP server behind the address says the right name.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from felix_py.lab import namespaces, pods
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.pods import Pod
from felix_py.lab.router import ANSWER_PORT
from felix_py.lab.topology import Topology

PROBE = Path(__file__).with_name("probe.py")
PROBE_SECONDS = 2.0
SILENCE_SECONDS = 1.0
"""How long nobody must answer for `nobody` to hold."""
FIRST_TTL = 64
"""What Linux gives a packet on its way."""
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """How a target looked from a pod."""

    source: str
    target: str
    ttl: int | None
    said: str | None
    routers: int
    """How many routers stand between the two."""

    @property
    def complaint(self) -> str | None:
        """What is wrong when the target should be reached, None if nothing."""
        if self.ttl is None:
            return f"{self.source} -> {self.target}: no answer to a ping"
        if FIRST_TTL - self.ttl != self.routers:
            passed = FIRST_TTL - self.ttl
            return (
                f"{self.source} -> {self.target}: the answer passed {passed} routers, "
                f"the topology has {self.routers}"
            )
        if self.said != self.target:
            return f"{self.source} -> {self.target}: TCP answered {self.said!r}"
        return None


class Expectations:
    """A list of sentences about one lab."""

    def __init__(self, home: Home, topology: Topology) -> None:
        self._home = home
        self._topology = topology
        self._wanted: dict[tuple[str, str], bool] = {}
        self.seen: dict[tuple[str, str], Seen] = {}

    def reaches(self, source: str, target: str) -> None:
        """This pod reaches that pod, or the outside address of that ToR."""
        self._wanted[source, target] = True

    def nobody(self, source: str, target: str) -> None:
        """This pod gets no answer from that one, neither to pings nor by TCP."""
        self._wanted[source, target] = False

    def everything(self) -> None:
        """Every pod reaches every other pod and every outside address."""
        names = [pod.name for pod in pods.every(self._home)]
        outside = [rack.tor.name for rack in self._topology.racks]
        for source in names:
            for target in [*names, *outside]:
                if target != source:
                    self.reaches(source, target)

    def check(self, timeout_seconds: float) -> list[str]:
        """What does not hold, in words; looks again at what failed until the time is over."""
        deadline = time.monotonic() + timeout_seconds
        left = dict(self._wanted)
        while True:
            complaints = self._look(left)
            left = {pair: self._wanted[pair] for pair in complaints}
            if not left or time.monotonic() > deadline:
                return list(complaints.values())

    def _look(self, wanted: Mapping[tuple[str, str], bool]) -> dict[tuple[str, str], str]:
        everyone = {pod.name: pod for pod in pods.every(self._home)}
        by_source: dict[str, list[str]] = {}
        for source, target in wanted:
            by_source.setdefault(source, []).append(target)
        with ThreadPoolExecutor(AT_ONCE) as workers:
            jobs = [
                workers.submit(self._probe, everyone, source, targets, wanted)
                for source, targets in by_source.items()
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
        self,
        everyone: Mapping[str, Pod],
        source: str,
        targets: list[str],
        wanted: Mapping[tuple[str, str], bool],
    ) -> dict[tuple[str, str], Seen]:
        from_pod = _known(everyone, source)
        addresses = {target: self._address(everyone, target) for target in targets}
        silent = not all(wanted[source, target] for target in targets)
        asked = {
            "targets": addresses,
            "port": ANSWER_PORT,
            "seconds": SILENCE_SECONDS if silent else PROBE_SECONDS,
        }
        enter = ["nsenter", f"--net={namespaces.path(from_pod.netns)}", "--"]
        command = [*enter, sys.executable, "-I", "-S", str(PROBE)]
        answered = json.loads(namespaces.run(command, stdin=json.dumps(asked)))
        return {
            (source, target): Seen(
                source,
                target,
                answered[target]["ttl"],
                answered[target]["said"],
                routers_between(self._topology, from_pod.node, self._place(everyone, target)),
            )
            for target in targets
        }

    def _address(self, everyone: Mapping[str, Pod], target: str) -> str:
        for rack in self._topology.racks:
            if rack.tor.name == target:
                return str(rack.tor.outside)
        return _known(everyone, target).address

    def _place(self, everyone: Mapping[str, Pod], target: str) -> str:
        return everyone[target].node if target in everyone else target


def routers_between(topology: Topology, node: str, other: str) -> int:
    """How many routers an answer passes from a pod of `other`, or from a ToR itself, to a pod of `node`."""
    if node == other:
        return 1
    here, there = topology.rack_of(node), topology.rack_of(other)
    if other == there.tor.name:
        return 1 if here == there else 2
    if here != there:
        return 4
    return 3 if here.tor.nodes == "reflect" else 2


def _judge(seen: Seen, *, reached: bool) -> str | None:
    if reached:
        return seen.complaint
    if seen.ttl is None and seen.said is None:
        return None
    return f"{seen.source} -> {seen.target}: is reached, and should not be"


def _known(everyone: Mapping[str, Pod], name: str) -> Pod:
    if name not in everyone:
        raise LabError(f"{name}: no such pod or ToR; there are: {', '.join(everyone)}")
    return everyone[name]
