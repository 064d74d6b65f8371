"""`felixctl plan` on a full etcd: 5,000 nodes in 200 racks, 100,000 pods; beside reading the same keys bare.

    sudo python -m bench.plan [nodes] [pods]

One etcd with its data in memory. From opening the question to the plan, for three changes: another
encapsulation of the pool that holds every pod (addresses, tunnels, routes, ways), the mesh off with a
peer for each rack (sessions), one more peer. The peer's time is etcd's own, for listing the keys that
the plan reads, without looking into them. Last, the memory of the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from bench.figures import Figure, Target, emit, table
from felix_py.ctl.documents import Document, of_mapping
from felix_py.ctl.plan import Plan, plan_writes
from felix_py.ctl.plan_apply import Consent, apply
from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.keys import HOSTS, OWN_NODES, RESOURCES, block_prefix
from felix_py.datastore.store import Put, Transaction
from tests.support.etcd import EtcdServer

NODES = 5_000
PODS = 100_000
RACKS = 200
PUTS_AT_ONCE = 100
AT = "2026-01-01T00:00:00Z"
POOL: dict[str, Any] = {"cidr": "10.128.0.0/9", "blockSize": 26, "nodeSelector": "all()"}
BLOCKS = IPv4Network("10.128.0.0/9")
READ = (RESOURCES, HOSTS, block_prefix(4), OWN_NODES)
SECONDS = Target("ours", "at most", 15.0)
QUICK = Target("ours", "at most", 5.0)


def resource_put(kind: str, path: str, spec: dict[str, Any], **labels: str) -> Put:
    """A resource as Calico writes it."""
    namespace = {"namespace": "default"} if path.startswith("workloadendpoints/") else {}
    meta = {"name": path.rsplit("/", 1)[1], **namespace, "uid": path, "creationTimestamp": AT}
    document = {"kind": kind, "apiVersion": "projectcalico.org/v3"}
    whole = {**document, "metadata": {**meta, "labels": labels}, "spec": spec}
    return Put(RESOURCES + path, json.dumps(whole).encode())


def objects(nodes: int, pods: int) -> Iterator[Put]:
    """Everything that the cluster holds."""
    yield resource_put("IPPool", "ippools/pods", POOL | {"ipipMode": "CrossSubnet"})
    for rack in range(RACKS):
        spec = {"peerIP": f"10.{rack}.255.254", "asNumber": 65000 + rack}
        spec["nodeSelector"] = f"rack == 'r{rack}'"
        yield resource_put("BGPPeer", f"bgppeers/tor-{rack}", spec)
    per_node = max(1, pods // nodes)
    for number in range(nodes):
        yield from node_objects(number, per_node)


def node_objects(number: int, pods: int) -> Iterator[Put]:
    """A node, its block and affinity, its pods."""
    rack, place = number % RACKS, number // RACKS
    name = f"worker-{number}"
    first = BLOCKS.network_address + 64 * number
    bgp = {
        "ipv4Address": f"10.{rack}.0.{place + 1}/16",
        "ipv4IPIPTunnelAddr": str(first),
    }
    yield resource_put("Node", f"nodes/{name}", {"bgp": bgp}, rack=f"r{rack}")
    segment = f"ipv4/block/{first}-26"
    yield Put(f"{HOSTS}{name}/{segment}", b'{"state":"confirmed"}')
    yield Put(
        f"/calico/ipam/v2/assignment/{segment}", json.dumps(block(name, first, pods)).encode()
    )
    for index in range(pods):
        yield pod(name, f"web-{number}-{index}", first + 1 + index)


def block(node: str, first: IPv4Address, pods: int) -> dict[str, Any]:
    """A block with so many addresses in use."""
    holders = [
        {"handle_id": f"k8s-pod-network.{n:064x}", "secondary": {"node": node}} for n in range(pods)
    ]
    used = [None, *range(pods)]
    return {
        "cidr": f"{first}/26",
        "affinity": f"host:{node}",
        "allocations": [*used, *[None] * (64 - len(used))],
        "unallocated": list(range(len(used), 64)),
        "attributes": holders,
        "sequenceNumber": 1,
        "sequenceNumberForAllocation": {},
        "deleted": False,
    }


def pod(node: str, name: str, address: IPv4Address) -> Put:
    """A pod's endpoint."""
    spec = {
        "orchestrator": "k8s",
        "node": node,
        "pod": name,
        "endpoint": "eth0",
        "containerID": f"{int(address):064x}",
        "ipNetworks": [f"{address}/32"],
        "interfaceName": f"cali{int(address):011x}",
        "profiles": ["kns.default", "ksa.default.default"],
    }
    full = f"{node.replace('-', '--')}-k8s-{name.replace('-', '--')}-eth0"
    return resource_put("WorkloadEndpoint", f"workloadendpoints/default/{full}", spec, app="web")


def fill(store: EtcdStore, nodes: int, pods: int) -> None:
    """Write it all, a hundred keys a transaction."""
    part: list[Put] = []
    for put in objects(nodes, pods):
        part.append(put)
        if len(part) == PUTS_AT_ONCE:
            store.transact(Transaction((), tuple(part)))
            part.clear()
    store.transact(Transaction((), tuple(part)))


def document(kind: str, name: str, spec: dict[str, Any]) -> Document:
    """One of the changes."""
    head = {"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}}
    return of_mapping({**head, "spec": spec}, "bench")


def timed(act: Callable[[], object]) -> float:
    """Seconds of doing this."""
    started_at = time.perf_counter()
    act()
    return time.perf_counter() - started_at


def planned(store: EtcdStore, *documents: Document) -> tuple[float, Plan]:
    """Seconds to a plan."""
    plans: list[Plan] = []
    took = timed(lambda: plans.append(plan_writes(store, documents)))
    for effect in plans[0].effects:
        print(f"    {effect.weight.value} {effect.topic}: {effect.count:,} {effect.text}")
    return took, plans[0]


def measure(store: EtcdStore) -> list[Figure]:
    """All figures."""
    bare = timed(lambda: [store.list(prefix) for prefix in READ])
    small = timed(lambda: [store.list(f"{RESOURCES}{kind}/") for kind in ("nodes", "bgppeers")])
    pool = document("IPPool", "pods", POOL | {"vxlanMode": "CrossSubnet"})
    off = document("BGPConfiguration", "default", {"nodeToNodeMeshEnabled": False})
    peer = document("BGPPeer", "more", {"peerIP": "192.0.2.1", "asNumber": 64999})
    listed, nodes = "listing the same keys", "listing nodes and peers"
    figures = [
        Figure("plan", what, "s", planned(store, change)[0], peer_name, theirs, target)
        for what, change, peer_name, theirs, target in (
            ("another encapsulation", pool, listed, bare, SECONDS),
            ("the mesh off", off, listed, bare, SECONDS),
            ("one more peer for all", peer, nodes, small, QUICK),
        )
    ]
    written = timed(lambda: apply(store, [pool], Consent(yes=True)))
    figures.append(
        Figure("plan", "another encapsulation, written", "s", written, listed, bare, SECONDS)
    )
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*figures, Figure("plan", "memory at most", "MB", most, "")]


def main() -> None:
    """Measure and print."""
    given = [int(text) for text in sys.argv[1:]]
    nodes, pods = [*given, *(NODES, PODS)[len(given) :]]
    with EtcdServer() as etcd:
        store = EtcdStore.connect(etcd.settings)
        try:
            print(
                f"filled with {nodes:,} nodes and {pods:,} pods in "
                f"{timed(lambda: fill(store, nodes, pods)):.0f} s",
                flush=True,
            )
            figures = measure(store)
        finally:
            store.close()
    print("\n".join(table(figures)))
    emit(figures)


if __name__ == "__main__":
    main()
