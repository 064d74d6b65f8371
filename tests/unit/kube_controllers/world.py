"""A cluster in memory: an API server and a store, both of which the controllers follow step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from felix_py.datastore.changes import STORE_STATE, Change, StoreState
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import RESOURCES, ResourceKey, parse
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import Invalid, Kind, Stored
from felix_py.datastore.status_document import Identity
from felix_py.datastore.store import Delete, KeyValue, Put, Transaction
from felix_py.kube_api.memory_api import MemoryKubeApi, MemoryWatch
from felix_py.kube_api.model import KubeNode, Meta, Pod, Ref, Resource, ref_of
from felix_py.kube_api.port import EVERYTHING, Changed
from felix_py.kube_api.reflector import KubeChange, KubeMailbox, ReflectorState
from felix_py.kube_controllers.announcer import Announcer
from felix_py.kube_controllers.leader import Leadership
from felix_py.kube_controllers.loop import Hands, Loop
from felix_py.kube_controllers.releases import Releases
from felix_py.kube_controllers.state import WATCHED, State
from felix_py.kube_controllers.writes import Writer
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.health import Health
from felix_py.runtime.mailbox import Mailbox
from ipam.office import Office

GRACE_SECONDS, QUARANTINE_SECONDS = 60.0, 900.0
IN_SYNC = StoreState(in_sync=True, connected=True, frozen=None, revision=1)
AT = "2026-01-01T00:00:00Z"


class Replica:
    """One process of the controllers; `turn` is all that it does between two waits."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.clock = world.clock
        self.kube: KubeMailbox = Mailbox()
        self.state = State()
        self.health = Health(self.clock)
        self.published: Mapping[str, Any] = {}
        self._watches: dict[Resource, MemoryWatch] = {}
        self._known: dict[str, int] = {}
        self._listed: dict[Resource, set[Ref]] = {}
        self.leadership = Leadership(world.api, "felix-py", name, self.clock)
        self.releases = Releases(world.api, Office(world.store), GRACE_SECONDS, QUARANTINE_SECONDS)
        hands = Hands(
            Writer(world.store, self.clock),
            self.releases,
            Announcer(world.api, self.clock),
            self._publish,
            Identity("kube-controllers", name, 1, "0", AT),
        )
        self.loop = Loop(
            Mailbox(), self.kube, self.state, self.leadership, hands,
            clock=self.clock, health=self.health,
        )  # fmt: skip

    def turn(self, *, leading: bool = True) -> None:
        """Hear all there is to hear, decide, write; twice, so that what was written is heard, too."""
        for _ in range(2):
            if leading:
                self.leadership.step()
            self._hear_store()
            self._hear_kube()
            self.loop.step()

    def list_again(self) -> None:
        """Every watch has to begin with a list."""
        self._watches.clear()

    def _publish(self, document: Mapping[str, object]) -> None:
        self.published = document

    def _hear_kube(self) -> None:
        changes: dict[Ref | Resource, KubeChange | ReflectorState] = {}
        for kind in Resource:
            watch = self._watches.get(kind)
            if watch is None:
                listing = self._world.api.list(kind)
                fresh = {ref_of(value): value for value in listing.items}
                for ref in self._listed.get(kind, set()) - set(fresh):
                    changes[ref] = KubeChange(None, seen=False)
                changes |= {ref: KubeChange(value) for ref, value in fresh.items()}
                self._listed[kind] = set(fresh)
                self._watches[kind] = self._world.api.watch(kind, EVERYTHING, listing.version)
                changes[kind] = ReflectorState(kind, in_sync=True, connected=True)
            elif (batch := watch.next(0)) is not None:
                for event in batch.events:
                    if isinstance(event, Changed):
                        changes[ref_of(event.value)] = KubeChange(event.value)
                        self._listed[kind].add(ref_of(event.value))
                    else:
                        changes[event.ref] = KubeChange(None)
                        self._listed[kind].discard(event.ref)
        self.state.fold_kube(changes)

    def _hear_store(self) -> None:
        now = {
            item.key: item for prefix in WATCHED for item in self._world.store.list(prefix).items
        }
        for path in {**self._known, **now}:
            key, item = parse(path), now.get(path)
            if key is not None and self._known.get(path) != (item and item.mod_revision):
                self.state.fold_store({key: _change(item)})
        self._known = {path: item.mod_revision for path, item in now.items()}
        self.state.fold_store({STORE_STATE: IN_SYNC})


def _change(item: KeyValue | None) -> Change:
    if item is None:
        return Change(None)
    key = parse(item.key)
    assert key is not None
    value = decode(key, item.value)
    if isinstance(value, Invalid):
        return Change(None, value)
    return Change(Stored(value, item.value, item.create_revision, item.mod_revision))


class World:
    """Kubernetes and etcd."""

    def __init__(self) -> None:
        self.api, self.store, self.clock = MemoryKubeApi(), MemoryStore(), FakeClock()

    def replica(self, name: str = "one") -> Replica:
        """A process of the controllers."""
        return Replica(self, name)

    def kube_node(self, name: str, **labels: str) -> None:
        """A node of Kubernetes."""
        self.api.put(KubeNode(Meta(name, labels=labels)))

    def pod(self, name: str, node: str = "n1", **labels: str) -> None:
        """A pod of the namespace default."""
        self.api.put(Pod(Meta(name, "default", labels=labels), node))

    def put(self, path: str, document: Mapping[str, Any]) -> None:
        """Somebody else's write into etcd."""
        raw = json.dumps(document).encode()
        self.store.transact(Transaction((), (Put(path, raw),)))

    def delete(self, path: str) -> None:
        """Somebody else's deletion in etcd."""
        self.store.transact(Transaction((), (Delete(path),)))

    def resource(
        self, key: ResourceKey, spec: Mapping[str, Any], **metadata: Mapping[str, str]
    ) -> None:
        """A resource in etcd, as somebody else wrote it."""
        meta = {"name": key.name, "uid": "u", "creationTimestamp": AT, **metadata}
        if key.namespace:
            meta["namespace"] = key.namespace
        self.put(key.path, {"kind": "any", "metadata": meta, "spec": spec})

    def node(self, name: str, *, kubernetes: str = "", **metadata: Mapping[str, str]) -> None:
        """Our Node, as felix writes it where it was told of this node of Kubernetes, or of none."""
        spec = {"orchRefs": [{"nodeName": kubernetes, "orchestrator": "k8s"}]} if kubernetes else {}
        self.resource(ResourceKey(Kind.NODE, name), spec, **metadata)

    def says(self, node: str, daemon: str, **document: Any) -> None:
        """A daemon's status in etcd."""
        self.put(f"/felix-py/v1/nodes/{node}/status/{daemon}", {"daemon": daemon, **document})

    def endpoint(self, pod: str, address: str, node: str = "n1") -> ResourceKey:
        """A pod's endpoint with its address, both as our plugin writes them."""
        name = f"{node.replace('-', '--')}-k8s-{pod.replace('-', '--')}-eth0"
        key = ResourceKey(Kind.WORKLOAD_ENDPOINT, name, "default")
        spec = {
            "orchestrator": "k8s",
            "node": node,
            "pod": pod,
            "endpoint": "eth0",
            "containerID": f"c-{pod}",
            "ipNetworks": [f"{address}/32"],
            "interfaceName": f"cali{pod}",
        }
        self.resource(key, spec)
        return key

    def block(self, *pods: str, node: str = "n1") -> None:
        """The block 10.0.0.0/29 of a node, whose first addresses these pods hold."""
        attributes = [
            {
                "handle_id": f"net.c-{pod}",
                "secondary": {"namespace": "default", "node": node, "pod": pod},
            }
            for pod in pods
        ]
        places = [*range(len(pods)), *([None] * (8 - len(pods)))]
        self.put(
            "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-29",
            {
                "cidr": "10.0.0.0/29",
                "affinity": f"host:{node}",
                "allocations": places,
                "unallocated": list(range(len(pods), 8)),
                "attributes": attributes,
                "sequenceNumber": 9,
                "sequenceNumberForAllocation": {str(n): n for n in range(len(pods))},
                "deleted": False,
            },
        )
        self.put(f"/calico/ipam/v2/host/{node}/ipv4/block/10.0.0.0-29", {"state": "confirmed"})
        for pod in pods:
            handle = {"handleID": f"net.c-{pod}", "block": {"10.0.0.0/29": 1}, "deleted": False}
            self.put(f"/calico/ipam/v2/handle/net.c-{pod}", handle)
        self.resource(ResourceKey(Kind.IP_POOL, "main"), {"cidr": "10.0.0.0/24", "blockSize": 29})

    def stored(self, path: str) -> dict[str, Any] | None:
        """What a key of etcd holds."""
        item = self.store.get(path if path.startswith("/") else RESOURCES + path)
        return None if item is None else json.loads(item.value)

    def held(self) -> list[str]:
        """The pods that hold addresses of the block."""
        block = self.stored("/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-29") or {}
        places = [n for n in block.get("allocations", []) if n is not None]
        return sorted(block["attributes"][n]["secondary"]["pod"] for n in places)
