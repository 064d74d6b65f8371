"""Addresses assigned and released per second by our allocators on one real etcd, against Calico's library.

    python -m bench.ipam [seconds]

A client is a caller that asks for the next address when it has the last one; nodes are processes, each
with its own allocator, fence and watch, as in a cni server. Etcd's data is in memory, as it was for the
peer: Calico v3.31.0's lib/ipam (tests/calico), a process for each node, on an etcd of its own in the same
run. Beside them bare transactions, one put each, from as many clients by the same etcd adapter.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import quantiles

from bench.figures import Figure, Target, emit, table
from felix_py.datastore.changes import SyncMailbox
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.fence import Fence
from felix_py.datastore.history import History
from felix_py.datastore.model import HandleId, NodeName
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Put, Transaction
from felix_py.datastore.syncer import Syncer
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.supervisor import Supervisor
from ipam.allocator import Allocator
from ipam.errors import Frozen
from ipam.requests import AssignRequest, ReleaseRequest
from ipam.watched import watched_prefixes
from tests.support.calico import Calico, programs
from tests.support.etcd import EtcdServer

SECONDS = 5.0
REQUEST_SECONDS = 20.0
READY_SECONDS = 120.0
R = "/calico/resources/v3/projectcalico.org"
CALICO, BARE = "Calico's library", "bare etcd"


@dataclass(frozen=True, slots=True)
class Case:
    """So many clients on so many nodes, and how many times Calico's rate we want."""

    nodes: int
    clients_per_node: int
    times: float

    def __str__(self) -> str:
        clients = self.nodes * self.clients_per_node
        return f"{clients} client(s) on {self.nodes} node(s)"


CASES = (Case(1, 1, 4), Case(8, 1, 4), Case(64, 1, 2), Case(1, 8, 10))


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per second of all clients together, and milliseconds that 99 of 100 took at most."""

    per_second: float
    p99: float


def initialise(server: EtcdServer, nodes: int) -> None:
    """A cluster, a pool with room, and nodes."""

    def put(plural: str, kind: str, name: str, **spec: object) -> None:
        meta = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        document = {
            "kind": kind,
            "apiVersion": "projectcalico.org/v3",
            "metadata": meta,
            "spec": spec,
        }
        server.put(f"{R}/{plural}/{name}", json.dumps(document))

    limits = {"strict_affinity": True, "auto_allocate_blocks": True, "maxBlocksPerHost": 10_000}
    server.put("/calico/ipam/v2/config", json.dumps(limits))
    cluster = {"clusterGUID": "a" * 32, "datastoreReady": True}
    put("clusterinformations", "ClusterInformation", "default", **cluster)
    put("ippools", "IPPool", "v4", cidr="10.0.0.0/12", blockSize=26)
    for number in range(nodes):
        put("nodes", "Node", f"node-{number}")


def together(clients: int, seconds: float, call: Callable[[int, int], bool]) -> list[float]:
    """Every client calls (its number, its nth call) until that says that nothing is left; how long each
    call took, in ms.
    """
    took: list[list[float]] = [[] for _ in range(clients)]
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        while (began := time.monotonic()) < until:
            if not call(number, len(took[number])):
                return
            took[number].append((time.monotonic() - began) * 1000)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [each for mine in took for each in mine]


def node(endpoint: str, name: str, clients: int, seconds: float, pipe: Connection) -> None:
    """A node's process: bare transactions, then assignments, then releases, each when it is told to."""
    with tempfile.TemporaryDirectory() as directory:
        os.dup2(os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT), 1)
        store = EtcdStore.connect(
            DatastoreSettings(endpoints=[endpoint], timeout_seconds=REQUEST_SECONDS)
        )
        fence, clock = Fence(store, NodeName(name), f"machine-{name}"), SystemClock()
        fence.open()
        mailbox: SyncMailbox = Mailbox()
        allocator = Allocator(store, fence, NodeName(name), mailbox, clock)
        supervisor = Supervisor()
        syncer = Syncer(
            store, watched_prefixes(NodeName(name)), mailbox, History(directory, "cni"), clock
        )
        supervisor.add("syncer", syncer.run)
        supervisor.add("allocator", allocator.run)
        supervisor.add("phases", lambda _: _phases(store, allocator, name, clients, seconds, pipe))
        supervisor.run()


def _phases(
    store: EtcdStore,
    allocator: Allocator,
    name: str,
    clients: int,
    seconds: float,
    pipe: Connection,
) -> None:
    held: list[list[HandleId]] = [[] for _ in range(clients)]

    def bare(client: int, number: int) -> bool:
        key = f"/bench/{name}/{client}/{number}"
        store.transact(Transaction((), (Put(key, b"x" * 200),)))
        return True

    def assign(client: int, number: int) -> bool:
        handle = HandleId(f"net.{name}-{client}-{number}")
        allocator.assign(AssignRequest(handle, {"node": name}), REQUEST_SECONDS)
        held[client].append(handle)
        return True

    def release(client: int, _: int) -> bool:
        if held[client]:
            allocator.release(ReleaseRequest(held[client].pop(), ""), REQUEST_SECONDS)
        return bool(held[client])

    while not held[0]:  # what is read once is read, and a block is claimed
        with suppress(Frozen):
            assign(0, -1)
    for phase in (bare, assign, release):
        pipe.send([])
        pipe.recv()
        pipe.send(together(clients, seconds, phase))
    os._exit(0)


def measure(case: Case, seconds: float) -> dict[str, Rate]:
    """Of each phase."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.ipam"])
    with EtcdServer(arguments=("--quota-backend-bytes", str(8 << 30))) as server:
        initialise(server, case.nodes)
        pipes = []
        for number in range(case.nodes):
            mine, theirs = context.Pipe()
            arguments = (server.endpoint, f"node-{number}", case.clients_per_node, seconds, theirs)
            context.Process(target=node, args=arguments, daemon=True).start()
            pipes.append(mine)
        return {phase: _phase(pipes) for phase in ("bare", "assign", "release")}


def peer(case: Case, seconds: float) -> Rate:
    """The same assignments by Calico's library."""
    with EtcdServer(arguments=("--quota-backend-bytes", str(8 << 30))) as server:
        initialise(server, case.nodes)
        calico = Calico(programs(), server.endpoint)
        numbers = (case.clients_per_node, round(seconds))
        nodes = [calico.node("assign", f"node-{n}", *numbers) for n in range(case.nodes)]
        said = [json.loads(each.communicate()[0]) for each in nodes]
    longest = max(each["seconds"] for each in said)
    return Rate(sum(each["assigned"] for each in said) / longest, max(each["p99"] for each in said))


def _phase(pipes: Sequence[Connection]) -> Rate:
    for pipe in pipes:
        if not pipe.poll(READY_SECONDS):
            raise RuntimeError(f"a node is not ready after {READY_SECONDS:.0f} s")
        pipe.recv()
    began = time.monotonic()
    for pipe in pipes:
        pipe.send("go")
    took = [each for pipe in pipes for each in pipe.recv()]
    return Rate(len(took) / (time.monotonic() - began), quantiles(took, n=100)[98])


def figures(case: Case, found: dict[str, Rate], calico: Rate) -> list[Figure]:
    """Ours beside Calico's and beside bare transactions."""
    bare, assign, release = (found[phase] for phase in ("bare", "assign", "release"))
    target = Target("ratio", "at least", case.times)
    rate, slowest = assign.per_second, assign.p99
    return [
        Figure("ipam", f"assign/s, {case}", "/s", rate, CALICO, calico.per_second, target),
        Figure("ipam", f"assign/s, {case}", "/s", rate, BARE, bare.per_second),
        Figure("ipam", f"assign p99, {case}", "ms", slowest, CALICO, calico.p99),
        Figure("ipam", f"assign p99, {case}", "ms", slowest, BARE, bare.p99),
        Figure("ipam", f"release/s, {case}", "/s", release.per_second, BARE, bare.per_second),
    ]


def main(seconds: float) -> None:
    """Measure, print, hand over."""
    result = [
        each
        for case in CASES
        for each in figures(case, measure(case, seconds), peer(case, seconds))
    ]
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
