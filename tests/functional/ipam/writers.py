"""Writers of the many-writers tests as processes, and the storm in which they work."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from felix_py.datastore.settings import DatastoreSettings
from tests.functional.ipam.history_check import Told
from tests.functional.ipam.writer_process import Switch, Task, live

POOL_V6 = "fd00::/120"
R = "/calico/resources/v3/projectcalico.org"


@dataclass(frozen=True, slots=True)
class Storm:
    """Who works, in which pool, and when it is enough; a slow machine does less within `seconds`.

    first_writes: processes are killed at each of their first so many writes, before and after it.
    """

    nodes: tuple[str, ...]
    pool: str
    block_size: int
    task: Task
    kills: int
    leases: int
    seconds: float
    first_writes: int = 0


FEW = Storm(("a", "b", "c"), "10.0.0.0/26", 29, Task(), 10, 250, 15)
MANY = Storm(
    tuple(f"n{number}" for number in range(50)),
    "10.0.0.0/24",
    28,
    Task(threads=2, most_pods=8),
    kills=80,
    leases=800,
    seconds=40,
    first_writes=12,
)
"""Fifty processes want four hundred addresses of two hundred and fifty-six."""
MEMBERS = Storm(("a", "b", "c", "d"), "10.0.0.0/26", 29, Task(most_pods=20), 6, 250, 25)


def resource(kind: str, name: str, **spec: Any) -> str:
    metadata = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    document = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": metadata}
    return json.dumps({**document, "spec": spec})


def initialise(server: Told, storm: Storm) -> None:
    cluster = resource("ClusterInformation", "default", clusterGUID="a" * 32, datastoreReady=True)
    server.put(f"{R}/clusterinformations/default", cluster)
    server.put(
        f"{R}/ippools/v4", resource("IPPool", "v4", cidr=storm.pool, blockSize=storm.block_size)
    )
    server.put(f"{R}/ippools/v6", resource("IPPool", "v6", cidr=POOL_V6, blockSize=124))
    for node in storm.nodes:
        server.put(f"{R}/nodes/{node}", resource("Node", node))


class Writers:
    """The processes; only they are ever signalled, by their own ids."""

    def __init__(self, settings: DatastoreSettings, directory: Path, task: Task) -> None:
        self.settings = settings
        self.task = task
        self.directory = directory
        self.seed = 0
        self.running: dict[str, ForkServerProcess] = {}
        self.before: dict[str, int] = {}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.functional.ipam.writer_process"])

    def start(self, node: str, task: Task | None = None) -> ForkServerProcess:
        self.seed += 1
        self.before[node] = self.leases(node)
        arguments = (self.settings, node, self.directory, self.seed, task or self.task)
        process = self.context.Process(target=live, args=arguments, daemon=True)
        process.start()
        self.running[node] = process
        return process

    def leases(self, node: str = "*") -> int:
        """How many leases were granted (on a node)."""
        return sum(p.read_bytes().count(b"\n") for p in self.directory.glob(f"{node}/granted"))

    def await_work(self, node: str, most_seconds: float) -> None:
        """Until the node's present process granted a lease, or died."""
        until = time.monotonic() + most_seconds
        while self.leases(node) <= self.before[node] and time.monotonic() < until:
            if not self.running[node].is_alive():
                return
            time.sleep(0.02)

    def kill(self, node: str) -> bool:
        """SIGKILL; whether it was alive."""
        process = self.running.pop(node)
        was_alive = process.is_alive()
        process.kill()
        process.join(10)
        process.close()
        return was_alive

    def deaths(self) -> set[str]:
        """At which of its own writes a process was killed."""
        files = self.directory.glob("*/deaths")
        return {line for path in files for line in path.read_text("utf-8").splitlines()}

    def raise_the_dead(self, task: Callable[[], Task]) -> int:
        """Start again who was killed at a write of its own; how many."""
        dead = [node for node, process in self.running.items() if not process.is_alive()]
        for node in dead:
            self.kill(node)
            self.start(node, task())
        return len(dead)

    def stop_all(self) -> None:
        for process in self.running.values():
            process.terminate()
        for node in list(self.running):
            self.running[node].join(10)
            self.kill(node)

    def drain(self, node: str) -> int | None:
        """Release everything through one node's allocator; how many are left."""
        process = self.start(node, Task("drain"))
        process.join(60)
        return process.exitcode

    def logs(self) -> str:
        texts = [path.read_text("utf-8")[-2000:] for path in self.directory.glob("*.log")]
        return "\n".join(texts)


@contextmanager
def writing(writers: Writers) -> Iterator[Writers]:
    """No process of theirs is left."""
    try:
        yield writers
    finally:
        for node in list(writers.running):
            writers.kill(node)


def rage(storm: Storm, writers: Writers, disturb: Callable[[], None]) -> None:
    """Everybody works; writers are killed, by us and at their own writes, and etcd is disturbed once."""
    dice = random.Random(7)
    doomed = switches(storm, dice)

    def mortal() -> Task:
        return replace(storm.task, switch=next(doomed))

    for node in storm.nodes:
        if node not in writers.running:
            writers.start(node, mortal())
    for node in storm.nodes[:4]:
        writers.await_work(node, most_seconds=30)  # a slow machine is slow to start them
    began = time.monotonic()
    killed, disturbed, already = 0, False, writers.leases()
    most = storm.seconds
    while time.monotonic() - began < most:
        killed += writers.raise_the_dead(mortal)
        if killed < storm.kills and len(storm.nodes) < len(MANY.nodes):
            node = dice.choice(storm.nodes)
            writers.await_work(node, most_seconds=10)
            time.sleep(dice.uniform(0, 0.1))
            killed += writers.kill(node)
            writers.start(node, mortal())
        time.sleep(0.02)
        if killed >= storm.kills // 2 and not disturbed:
            disturb()
            disturbed = True
        if not every_write(storm) <= writers.deaths():
            most = 2 * storm.seconds  # a slow machine gets there, too
        elif killed >= storm.kills and writers.leases() - already >= storm.leases:
            break
    if not disturbed:
        disturb()
    assert killed >= min(storm.kills // 2, 5), "the machine is too slow to prove anything"


def every_write(storm: Storm) -> set[str]:
    """Where the switches of a storm kill for certain, as a death is noted."""
    writes = range(1, storm.first_writes + 1)
    return {f"{when} {at}" for at in writes for when in ("before", "after")}


def switches(storm: Storm, dice: random.Random) -> Iterator[Switch]:
    """At which write each process is killed: the first ones in turn, then anywhere."""
    for at in range(1, storm.first_writes + 1):
        yield from (Switch(at, before) for before in (True, False))
    while True:
        yield Switch(dice.randrange(1, 60), dice.random() < 0.5)
