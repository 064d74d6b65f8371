"""Endpoint in etcd -> route in the kernel, with felix as a process, in a namespace of its own.

    sudo python -m bench.endpoint_route [endpoints] [links]

The clock starts when the put is sent. The peer in the same run is etcd itself: the time from the
same put to the event on a bare watch, below which nobody who hears of endpoints by etcd can be.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from statistics import median, quantiles

from bench.figures import Figure, Target, emit
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Put, Transaction
from tests.functional.agent.felix_node import NODE, RESOURCES, FelixNode
from tests.support import netns
from tests.support.netns import Namespaces

RTMGRP_IPV4_ROUTE = 0x40
RTM_NEWROUTE = 24
PAUSE_SECONDS = 0.02
"""Between two endpoints, so that each is measured alone."""
TARGET_MS = 15.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds since the put was sent: to its answer, to the watch's event, to the route."""

    answer: float
    event: float
    route: float


class Bench:
    """Runs in a thread that lives in the node's namespace."""

    def __init__(self, endpoint: str) -> None:
        self.store = EtcdStore.connect(DatastoreSettings(endpoints=[endpoint]))
        self.watching = EtcdStore.connect(DatastoreSettings(endpoints=[endpoint]))
        self.routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.routes.bind((0, RTMGRP_IPV4_ROUTE))
        self.routes.settimeout(5)
        self.watch = self.watching.watch([f"{RESOURCES}workloadendpoints/"], 0)
        self.watch.next(0.5)
        self.watcher = ThreadPoolExecutor(1)

    def close(self) -> None:
        """Let go of everything."""
        self.watcher.shutdown()
        self.watch.close()
        self.watching.close()
        self.store.close()
        self.routes.close()

    def one(self, number: int, link: str) -> Measured:
        """Put one endpoint and wait for its route."""
        address = f"10.{100 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        key, value = endpoint(number, address, link)
        event = self.watcher.submit(self._event)
        started = time.perf_counter()
        self.store.transact(Transaction((), (Put(key, value),)))
        answered = time.perf_counter()
        self._await_route(ip_address(address).packed)
        arrived = time.perf_counter()
        return Measured(
            (answered - started) * 1000,
            (event.result() - started) * 1000,
            (arrived - started) * 1000,
        )

    def _event(self) -> float:
        while True:
            batch = self.watch.next(5)
            if batch is not None and batch.events:
                return time.perf_counter()

    def _await_route(self, packed: bytes) -> None:
        while True:
            data = self.routes.recv(65536)
            if int.from_bytes(data[4:6], sys.byteorder) == RTM_NEWROUTE and packed in data:
                return


def endpoint(number: int, address: str, link: str) -> tuple[str, bytes]:
    """Key and value of an endpoint as the CNI server writes it."""
    name = f"worker--1-k8s-pod{number}-eth0"
    document = {
        "kind": "WorkloadEndpoint",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{number}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "orchestrator": "k8s",
            "node": NODE,
            "containerID": "c1",
            "pod": f"pod{number}",
            "endpoint": "eth0",
            "ipNetworks": [f"{address}/32"],
            "interfaceName": link,
        },
    }
    return f"{RESOURCES}workloadendpoints/default/{name}", json.dumps(document).encode()


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    links = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with (
        tempfile.TemporaryDirectory() as directory,
        Namespaces() as namespaces,
        FelixNode(Path(directory), namespaces) as node,
        ThreadPoolExecutor(1, initializer=netns.enter, initargs=(node.namespace,)) as inside,
    ):
        names = [f"cali{number:011d}" for number in range(links)]
        for name in names:
            node.pod_link(name)
        node.start()
        bench = inside.submit(Bench, node.etcd.endpoint).result()
        measured = []
        for number in range(count):
            measured.append(inside.submit(bench.one, number, names[number % links]).result())
            time.sleep(PAUSE_SECONDS)
        inside.submit(bench.close).result()
        resident = resident_mb(node)
    show(measured, links, resident)


def resident_mb(node: FelixNode) -> float:
    """Felix's resident memory."""
    assert node.process is not None
    for line in Path(f"/proc/{node.process.pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def show(measured: Sequence[Measured], links: int, resident: float) -> None:
    """The table."""
    print(f"{len(measured)} endpoints one at a time on {links} links, milliseconds since the put")
    for name in ("answer", "event", "route"):
        values = [getattr(each, name) for each in measured]
        print(f"  {name:7} p50 {median(values):6.2f}  p99 {quantiles(values, n=100)[98]:6.2f}")
    route = median(each.route for each in measured)
    ratio = route / median(each.event for each in measured)
    met = "met" if route < TARGET_MS else "missed"
    print(f"route / bare watch: {ratio:.2f}; target p50 < {TARGET_MS:g} ms: {met}")
    print(f"felix's resident memory: {resident:.0f} MB")
    event = median(each.event for each in measured)
    emit(
        [
            Figure(
                "endpoint_route",
                "endpoint in etcd to route, p50",
                "ms",
                route,
                "event on a bare watch",
                event,
                Target("ours", "at most", TARGET_MS),
            )
        ]
    )


if __name__ == "__main__":
    main()
