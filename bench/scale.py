"""5,000 nodes in etcd and no BGP: felix programs a route to each; against the same routes by BGP.

    sudo python -m bench.scale [nodes]

One namespace, one etcd that holds a Node and a block for each. First felix with `node.backend: none`:
from the start of the process to the last route, from a new block in etcd to its route, resident memory.
Then our BGP agent with the same etcd, the mesh off as it would be with so many nodes, to which a BIRD
announces the same prefixes: from the start of the
process to the last route, from one more prefix given to BIRD to its route, resident memory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.bgp_learn import in_kernel, prefixes, seen_from_outside
from bench.figures import Figure, emit, table
from bench.memory import of_process
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Put, Transaction
from tests.functional.bgp_agent.machine import NODE, RESOURCES, Machine
from tests.support import netns
from tests.support.bird import configuration, session

NODES = 5_000
CHANGES = 20
WAIT_SECONDS = 120.0
PUTS_AT_ONCE = 100
FELIX = "from felix_py.agent.main import main; main()"


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds to all routes and (median) to one more, MB resident."""

    all_routes: float
    one_change: float
    resident: float


def node_address(number: int) -> str:
    """The address of another node, on the one big subnet."""
    return f"10.99.{1 + number // 250}.{number % 250 + 1}"


def stored(path: str, kind: str, spec: dict[str, object]) -> Put:
    """A resource as Calico writes it."""
    meta = {
        "name": path.rsplit("/", 1)[1],
        "uid": path,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    document = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": meta, "spec": spec}
    return Put(RESOURCES + path, json.dumps(document).encode())


def node_and_block(number: int, cidr: str) -> tuple[Put, Put]:
    """A node's object and its block."""
    name = f"worker-{number}"
    document = {
        "cidr": cidr,
        "affinity": f"host:{name}",
        "allocations": [None] * 64,
        "unallocated": list(range(64)),
        "attributes": [],
        "sequenceNumber": 1,
        "sequenceNumberForAllocation": {},
        "deleted": False,
    }
    key = f"/calico/ipam/v2/assignment/ipv4/block/{cidr.replace('/', '-')}"
    spec: dict[str, object] = {"bgp": {"ipv4Address": f"{node_address(number)}/16"}}
    return stored(f"nodes/{name}", "Node", spec), Put(key, json.dumps(document).encode())


class Bench:
    """A machine whose etcd is full."""

    def __init__(self, machine: Machine, count: int) -> None:
        self.machine = machine
        self.count = count
        self.cidrs = prefixes(count + CHANGES)
        machine.ip("address", "add", "10.99.0.1/16", "dev", "br0")
        machine.ip("address", "del", "10.99.0.1/24", "dev", "br0")
        machine.put("nodes/node-1", "Node", {"bgp": {"ipv4Address": "10.99.0.1/16"}})
        machine.put("ippools/blue", "IPPool", {"cidr": "10.128.0.0/9"})
        settings = DatastoreSettings(endpoints=[machine.etcd.endpoint])
        self.store = machine.inside(lambda: EtcdStore.connect(settings))
        self.put([p for n in range(count) for p in node_and_block(n, self.cidrs[n])])
        self.fib = seen_from_outside(machine.namespace)
        self.bare = in_kernel(self.fib)

    def put(self, puts: list[Put]) -> None:
        """Write, a hundred keys a transaction."""
        for start in range(0, len(puts), PUTS_AT_ONCE):
            part = tuple(puts[start : start + PUTS_AT_ONCE])
            self.machine.inside(partial(self.store.transact, Transaction((), part)))

    def seconds_to(self, routes: int, act: Callable[[], object]) -> float:
        """From doing this until the kernel holds so many routes more than at first."""
        started_at = time.perf_counter()
        act()
        while in_kernel(self.fib) != self.bare + routes:
            if time.perf_counter() - started_at > WAIT_SECONDS:
                raise TimeoutError(f"{in_kernel(self.fib) - self.bare} of {routes} routes")
            time.sleep(0.001)
        return time.perf_counter() - started_at

    def felix(self) -> Measured:
        """Routes from etcd."""
        directory = self.machine.directory
        file = directory / "felix.yaml"
        node = {"name": NODE, "backend": "none"}
        node |= {"runDir": str(directory / "felix"), "stateDir": str(directory / "felix-state")}
        store = {"endpoints": [self.machine.etcd.endpoint]}
        document = {"node": node, "datastore": store, "log": {"form": "text"}}
        document["felix"] = {"ipv4Address": "10.99.0.1/16"}
        file.write_text(json.dumps(document), "utf-8")
        (directory / "felix").mkdir()
        argv = (sys.executable, "-c", FELIX, "--config", str(file))
        with (directory / "felix.log").open("ab") as log:
            process: subprocess.Popen[bytes] | None = None

            def start() -> None:
                nonlocal process
                command = netns.command(self.machine.namespace, *argv)
                process = subprocess.Popen(command, stdout=log, stderr=log)

            try:
                took = self.seconds_to(self.count, start)
                changes = [
                    self.seconds_to(
                        number + 1,
                        partial(self.put, list(node_and_block(number, self.cidrs[number]))),
                    )
                    for number in range(self.count, self.count + CHANGES)
                ]
                assert process is not None
                return Measured(took, median(changes), of_process(process.pid).resident)
            finally:
                if process is not None:
                    process.terminate()
                    process.wait(15)
                self.machine.ip("route", "flush", "proto", "80")

    def bgp(self) -> Measured:
        """The same routes from a BIRD."""
        self.machine.settings = {"prefixLimit": 2 * self.count}
        mesh_off = {"nodeToNodeMeshEnabled": False}
        self.machine.put("bgpconfigurations/default", "BGPConfiguration", mesh_off)
        self.machine.put("bgppeers/two", "BGPPeer", {"peerIP": "10.99.0.2", "asNumber": 64512})
        bird = self.machine.bird_with(2, announcing(self.cidrs[: self.count]))
        took = self.seconds_to(self.count, self.machine.start)
        changes = []
        for number in range(self.count, self.count + CHANGES):
            text = announcing(self.cidrs[: number + 1])
            changes.append(self.seconds_to(number + 1, partial(bird.reconfigure, text)))
        assert self.machine.process is not None
        return Measured(took, median(changes), of_process(self.machine.process.pid).resident)


def announcing(cidrs: list[str]) -> str:
    """BIRD's configuration as node-2."""
    own = "10.99.0.2"
    peer = session("node", own, "10.99.0.1", asn=64512, neighbor_asn=64512)
    return configuration(own, peer, routes=cidrs).replace("hold time 9", "hold time 90")


@contextmanager
def prepared(count: int) -> Iterator[Bench]:
    """A machine with a full etcd; nothing is left."""
    directory = Path(tempfile.mkdtemp(prefix="felix-py-bench-"))
    directory.chmod(0o755)
    try:
        with netns.Namespaces() as namespaces, Machine(directory, namespaces) as machine:
            yield Bench(machine, count)
    finally:
        shutil.rmtree(directory)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else NODES
    with prepared(count) as bench:
        ours, peer = bench.felix(), bench.bgp()
    name = "the same by BGP"
    figures = [
        Figure("scale", f"{count:,} nodes to routes", "s", ours.all_routes, name, peer.all_routes),
        Figure(
            "scale", "one new block to its route, p50", "ms", ours.one_change * 1000, name,
            peer.one_change * 1000,
        ),
        Figure("scale", "felix VmRSS", "MB", ours.resident, "bgp agent", peer.resident),
    ]  # fmt: skip
    print("\n".join(table(figures)))
    emit(figures)


if __name__ == "__main__":
    main()
