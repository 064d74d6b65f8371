"""5,000 nodes with 100,000 pods in one real etcd: listed, decoded and indexed; audited; split into a plan.

    python -m bench.audit [nodes]

Every node has a block of 64 with 20 pods: endpoint, handle and address each. Each measurement is a
process of its own, so that memory is its own. Peers in the same run: etcdctl reading the same keys and
throwing them away; and, from another run on such a host, Calico's Felix until it was in sync with as much.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from multiprocessing.connection import Connection

from bench.figures import Figure, emit, table
from felix_py.datastore import codec
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.keys import kind_prefix, parse
from felix_py.datastore.model import Kind, WorkloadEndpoint
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import Put, Store, Transaction
from ipam.audit import audit
from tests.support.etcd import EtcdServer

NODES, PODS = 5_000, 20
AT_ONCE = 120
CALLS_SECONDS = 60.0
R = "/calico/resources/v3/projectcalico.org"
IPAM = "/calico/ipam/v2"
FELIX_SECONDS, FELIX_MB = 4.4, 241.0
"""Calico's Felix on such a host (the middle of what was measured)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, and MB resident at most."""

    seconds: float
    resident: float


def resource_text(kind: str, name: str, spec: dict[str, object], namespace: str = "") -> bytes:
    """A resource as Calico writes it."""
    meta = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    meta |= {"namespace": namespace} if namespace else {}
    document = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": meta, "spec": spec}
    return json.dumps(document, separators=(",", ":")).encode()


def of_node(number: int) -> Iterator[Put]:
    """All keys of one node and its pods."""
    node, first = f"node-{number}", ip_address("10.0.0.0") + 64 * number
    cidr = ip_network(f"{first}/26")
    yield Put(f"{R}/nodes/{node}", resource_text("Node", node, {}))
    yield Put(f"{IPAM}/host/{node}/ipv4/block/{first}-26", b'{"state":"confirmed","deleted":false}')
    attributes = []
    for pod in range(PODS):
        container = f"{number:06d}{pod:03d}".ljust(64, "a")
        handle, name = f"k8s-pod-network.{container}", f"pod-{number}-{pod}"
        attributes.append(
            {"handle_id": handle, "secondary": {"namespace": "default", "node": node, "pod": name}}
        )
        counts = json.dumps({"block": {str(cidr): 1}, "deleted": False}).encode()
        yield Put(f"{IPAM}/handle/{handle}", counts)
        key = f"{node.replace('-', '--')}-k8s-{name.replace('-', '--')}-eth0"
        spec: dict[str, object] = {
            "orchestrator": "k8s",
            "node": node,
            "pod": name,
            "endpoint": "eth0",
            "containerID": container,
            "interfaceName": f"cali{number:06x}{pod:03x}",
            "ipNetworks": [f"{first + pod}/32"],
            "profiles": ["kns.default", "ksa.default.default"],
            "mac": "0e:65:ab:cd:ef:01",
        }
        text = resource_text("WorkloadEndpoint", key, spec, "default")
        yield Put(f"{R}/workloadendpoints/default/{key}", text)
    block = {
        "cidr": str(cidr),
        "affinity": f"host:{node}",
        "allocations": [*range(PODS), *[None] * (64 - PODS)],
        "unallocated": [*range(PODS, 64)],
        "attributes": attributes,
        "sequenceNumber": 1,
        "sequenceNumberForAllocation": {str(ordinal): 1 for ordinal in range(PODS)},
        "deleted": False,
    }
    yield Put(f"{IPAM}/assignment/ipv4/block/{first}-26", json.dumps(block).encode())


def fill(store: Store, nodes: int) -> None:
    """A pool that holds it all, and every node."""
    spec: dict[str, object] = {"cidr": "10.0.0.0/12", "blockSize": 26}
    batch = [Put(f"{R}/ippools/v4", resource_text("IPPool", "v4", spec))]
    for number in range(nodes):
        batch += of_node(number)
        while len(batch) >= AT_ONCE:
            store.transact(Transaction((), tuple(batch[:AT_ONCE])))
            del batch[:AT_ONCE]
    if batch:
        store.transact(Transaction((), tuple(batch)))


def index(store: Store) -> int:
    """Endpoints by key and by address, as a daemon holds them; how many."""
    by_key, by_address = {}, {}
    pages = store.pages(kind_prefix(Kind.WORKLOAD_ENDPOINT))
    for item in (item for page in pages for item in page.items):
        key = parse(item.key)
        value = None if key is None else codec.decode(key, item.value)
        if key is not None and isinstance(value, WorkloadEndpoint):
            by_key[key] = value
            by_address.update(dict.fromkeys(value.networks, key))
    return len(by_address) and len(by_key)


def look(store: Store) -> int:
    """An audit that finds nothing: one look."""
    found = audit(store)
    assert found.findings == (), found.findings[:3]
    return found.addresses


def alone(job: Callable[[Store], int], endpoint: str, expected: int) -> Measured:
    """In a process of its own."""
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(job, endpoint, theirs)
    )
    process.start()
    count, seconds, resident = mine.recv()
    process.join()
    assert count == expected, f"{count} of {expected}"
    return Measured(seconds, resident)


def _run(job: Callable[[Store], int], endpoint: str, pipe: Connection) -> None:
    settings = DatastoreSettings(endpoints=[endpoint], timeout_seconds=CALLS_SECONDS)
    store = EtcdStore.connect(settings)
    began = time.monotonic()
    count = job(store)
    seconds = time.monotonic() - began
    pipe.send((count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def read_by_etcdctl(server: EtcdServer, prefix: str) -> float:
    """Seconds that etcdctl needs for the same keys."""
    began = time.monotonic()
    command = ["etcdctl", *server.flags, "--command-timeout", "60s", "get", "--prefix", prefix]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def figures(server: EtcdServer, nodes: int) -> list[Figure]:
    """Both measurements beside their peers."""
    pods = nodes * PODS
    listed = alone(index, server.endpoint, pods)
    audited = alone(look, server.endpoint, pods)
    endpoints = read_by_etcdctl(server, kind_prefix(Kind.WORKLOAD_ENDPOINT))
    everything = read_by_etcdctl(server, "/calico/")
    felix, what = "Calico's Felix", f"{nodes:,} nodes, {pods:,} pods"
    return [
        Figure(
            "audit", f"list and index endpoints, {what}", "s", listed.seconds, "etcdctl", endpoints
        ),
        Figure("audit", "the same", "s", listed.seconds, felix, FELIX_SECONDS),
        Figure("audit", "its memory", "MB", listed.resident, felix, FELIX_MB),
        Figure("audit", f"audit, {what}", "s", audited.seconds, "etcdctl", everything),
        Figure("audit", "its memory", "MB", audited.resident, felix, FELIX_MB),
    ]


def main(nodes: int) -> None:
    """Fill, measure, print, hand over."""
    with EtcdServer(arguments=("--quota-backend-bytes", str(8 << 30))) as server:
        settings = DatastoreSettings(endpoints=[server.endpoint], timeout_seconds=CALLS_SECONDS)
        store = EtcdStore.connect(settings)
        fill(store, nodes)
        store.close()
        result = figures(server, nodes)
    print("\n".join(table(result)))
    emit(result)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else NODES)
