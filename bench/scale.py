"""5,000 nodes in etcd and no BGP: felix programs a route to each; against the same routes by BGP.

    sudo python -m bench.scale [nodes]

One namespace, one etcd that holds a Node and a block for each. First felix with `node.backend: none`:
from the start of the process to the last route, from a new block in etcd to its route, resident memory.
The same again with 20 pods on each of the other nodes, as Calico's Felix was measured until it was in sync
(on another run of such a host).
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
from ipaddress import ip_network
from pathlib import Path
from statistics import median

from bench.audit import FELIX_MB, FELIX_SECONDS, PODS, resource_text
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


def endpoints(number: int, cidr: str) -> Iterator[Put]:
    """The pods of a node, with the first addresses of its block."""
    first, node = ip_network(cidr).network_address, f"worker-{number}"
    for pod in range(PODS):
        key = f"worker--{number}-k8s-pod--{pod}-eth0"
        spec: dict[str, object] = {
            "orchestrator": "k8s",
            "node": node,
            "pod": f"pod-{pod}",
            "endpoint": "eth0",
            "containerID": f"{number:06d}{pod:03d}".ljust(64, "a"),
            "interfaceName": f"cali{number:06x}{pod:03x}",
            "ipNetworks": [f"{first + pod}/32"],
            "profiles": ["kns.default", "ksa.default.default"],
            "mac": "0e:65:ab:cd:ef:01",
        }
        text = resource_text("WorkloadEndpoint", key, spec, "default")
        yield Put(f"{RESOURCES}workloadendpoints/default/{key}", text)


class Bench:
    """A machine whose etcd is full."""

    def __init__(self, machine: Machine, count: int) -> None:
        self.machine = machine
        self.count = count
        self.there = count
        """Other nodes by now: each change is one more."""
        self.cidrs = prefixes(count + 2 * CHANGES)
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

    def one_more(self) -> float:
        """Seconds from a new node and its block to the route."""
        puts = list(node_and_block(self.there, self.cidrs[self.there]))
        self.there += 1
        return self.seconds_to(self.there, partial(self.put, puts))

    def start_pods(self) -> None:
        """On every other node."""
        self.put([p for n in range(self.there) for p in endpoints(n, self.cidrs[n])])

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
        (directory / "felix").mkdir(exist_ok=True)
        argv = (sys.executable, "-c", FELIX, "--config", str(file))
        with (directory / "felix.log").open("ab") as log:
            process: subprocess.Popen[bytes] | None = None

            def start() -> None:
                nonlocal process
                command = netns.command(self.machine.namespace, *argv)
                process = subprocess.Popen(command, stdout=log, stderr=log)

            try:
                took = self.seconds_to(self.there, start)
                changes = [self.one_more() for _ in range(CHANGES)]
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


def figures(count: int, alone: Measured, crowded: Measured, peer: Measured) -> list[Figure]:
    """alone, crowded: felix without and with the endpoints of other nodes."""
    by_bgp, felix = "the same by BGP", "Calico's Felix"
    pods = f"{count:,} nodes, {count * PODS:,} endpoints"
    change, change_peer = alone.one_change * 1000, peer.one_change * 1000
    limit, limit_mb = (FELIX_SECONDS, FELIX_MB) if count == NODES else (None, None)
    found: list[tuple[str, str, float, str, float | None]] = [
        (f"{count:,} nodes to routes", "s", alone.all_routes, by_bgp, peer.all_routes),
        ("one new block to its route, p50", "ms", change, by_bgp, change_peer),
        ("felix VmRSS", "MB", alone.resident, "bgp agent", peer.resident),
        (f"{pods}: start to all routes", "s", crowded.all_routes, felix, limit),
        (f"{pods}: felix VmRSS", "MB", crowded.resident, felix, limit_mb),
    ]
    return [Figure("scale", *each) for each in found]


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else NODES
    with prepared(count) as bench:
        alone = bench.felix()
        bench.start_pods()
        crowded, peer = bench.felix(), bench.bgp()
    result = figures(count, alone, crowded, peer)
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main()
