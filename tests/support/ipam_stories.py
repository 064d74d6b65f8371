"""Stories of a small cluster's addresses, told on any store and held against a naive model.

A naive model knows pods and sets of addresses; what etcd holds is read as plain JSON by the checker that
walks histories. Sixteen addresses in blocks of four, three nodes: nearly everything is contested.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import strategies as st

from felix_py.datastore import codec
from felix_py.datastore.keys import OWN, HandleKey, ResourceKey, affinity_prefix
from felix_py.datastore.model import Handle, HandleId, IPAddress, Kind, NodeName
from felix_py.datastore.store import Delete, KeyValue, Put, Store, Transaction
from ipam.admin import remove_node
from ipam.audit import audit
from ipam.errors import PoolExhausted
from ipam.mender import put_right
from ipam.office import Office
from ipam.requests import EndpointDraft
from tests.functional.ipam.history_check import World
from tests.unit.ipam.cluster import AT, Machine, addresses

NODES = ("a", "b", "c")
PODS = 8
POOL = ip_network("10.9.0.0/28")
ADDRESSES = {str(address) for address in POOL}
RESERVED = ("10.9.0.1/32", "10.9.0.0/30", "10.9.0.9/32", "10.9.0.12/31", "10.9.0.5/32")
SECONDS = 2.0
"""Between steps: what was found full a moment ago is looked at again."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(NODES), st.integers(0, PODS - 1)),
        st.tuples(st.just("add"), st.sampled_from(NODES), st.integers(0, PODS - 1)),
        st.tuples(st.just("delete"), st.sampled_from(NODES), st.integers(0, PODS - 1)),
        st.tuples(st.just("lose"), st.sampled_from(NODES), st.integers(0, PODS - 1)),
        st.tuples(st.just("reserve"), st.just(""), st.integers(0, len(RESERVED))),
        st.tuples(st.just("strict"), st.just(""), st.integers(0, 1)),
        st.tuples(st.just("half"), st.sampled_from(NODES), st.just(0)),
        st.tuples(st.just("forge"), st.just(""), st.integers(0, 1)),
        st.tuples(st.just("restart"), st.sampled_from(NODES), st.just(0)),
        st.tuples(st.just("remove"), st.sampled_from(NODES), st.just(0)),
        st.tuples(st.just("mend"), st.just(""), st.just(0)),
    ),
    min_size=12,
    max_size=50,
)
"""(what happens, to which node, to which of its pods or with which number)."""

Step = tuple[str, str, int]


@dataclass
class Story:
    """One cluster; `play` a step, then `wrong` says what does not hold."""

    store: Store
    pods: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    """What lives, with its addresses."""
    lost: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    """What still holds addresses although its endpoint is gone."""
    reserved: frozenset[str] = frozenset()
    strict: bool = False
    problems: list[str] = field(default_factory=list)
    _machines: dict[str, Machine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = {"clusterGUID": "a" * 32, "clusterType": "", "calicoVersion": "v3.32.1"}
        self._resource(Kind.CLUSTER_INFORMATION, "default", {**spec, "datastoreReady": True})
        self._resource(Kind.IP_POOL, "v4", {"cidr": str(POOL), "blockSize": 30})
        for node in NODES:
            self._node(node)

    def play(self, step: Step) -> None:
        """What the step says, and what the model says of it."""
        verb, node, number = step
        for machine in self._machines.values():
            machine.clock.advance(SECONDS)
        getattr(self, f"_{verb}")(node, number)

    def wrong(self) -> list[str]:
        """What etcd has that no model would, in words."""
        world = World()
        found = self.store.list("/calico/").items
        told = world.apply([(item.key, json.loads(item.value)) for item in found])
        told = [text for text in told if "net.forged" not in text]
        mine = self._held()
        if set(world.owner_of) != mine:
            told.append(f"etcd gives out {sorted(world.owner_of)}, pods have {sorted(mine)}")
        shown = {a for _, held in world.endpoints.values() for a in held}
        living = {a for held in self.pods.values() for a in held}
        if shown != living:
            told.append(f"endpoints show {sorted(shown)}, pods have {sorted(living)}")
        return [*self.problems, *told]

    def end(self) -> None:
        """All pods go, what is left is put right; then all addresses are there for who asks."""
        for node, pod in list(self.pods):
            self._delete(node, pod)
        self._mend("", 0)
        self._reserve("", len(RESERVED))
        self._strict("", 0)
        left = [i.key for i in self.store.list("/calico/ipam/v2/handle/").items]
        self.problems += [f"{key} is left" for key in left]
        for number in range(len(ADDRESSES)):
            self.play(("add", NODES[number % len(NODES)], 100 + number))
        if len(self.pods) != len(ADDRESSES):
            self.problems.append(f"only {len(self.pods)} addresses are usable again")

    # what happens

    def _add(self, node: str, pod: int) -> None:
        key, machine = (node, pod), self._machines[node]
        draft = EndpointDraft(_endpoint(node, pod), _renderer(node, pod))
        free = ADDRESSES - self.reserved - self._held()
        before = self.pods.get(key) or self.lost.get(key)
        try:
            given = set(addresses(machine.assign(_handle(node, pod), endpoint=draft)))
        except PoolExhausted:
            if before or (free and not self.strict):
                self.problems.append(f"{key}: refused while {sorted(free)} are free")
            return
        if before and given != before:
            self.problems.append(f"{key}: had {before}, was given {given}")
        if not before and not given <= free:
            self.problems.append(f"{key}: was given {given}, free were {sorted(free)}")
        self.lost.pop(key, None)
        self.pods[key] = given

    def _delete(self, node: str, pod: int) -> None:
        container = _container(node, pod)
        self._machines[node].release(
            _handle(node, pod), container_id=container, endpoint_key=_endpoint(node, pod)
        )
        self.pods.pop((node, pod), None)
        self.lost.pop((node, pod), None)

    def _lose(self, node: str, pod: int) -> None:
        if (node, pod) in self.pods:
            self._do(Delete(_endpoint(node, pod).path))
            self.lost[node, pod] = self.pods.pop((node, pod))

    def _reserve(self, _: str, number: int) -> None:
        key = ResourceKey(Kind.IP_RESERVATION, "some")
        self._do(Delete(key.path))
        self.reserved = frozenset()
        if number < len(RESERVED):
            self._resource(Kind.IP_RESERVATION, "some", {"reservedCIDRs": [RESERVED[number]]})
            self.reserved = frozenset(map(str, ip_network(RESERVED[number])))

    def _strict(self, _: str, number: int) -> None:
        self.strict = bool(number)
        config = {"strict_affinity": self.strict, "auto_allocate_blocks": True}
        self._do(Put("/calico/ipam/v2/config", json.dumps(config).encode()))

    def _half(self, node: str, _: int) -> None:
        """Calico's library died in the middle of a claim."""
        for item in self.store.list(affinity_prefix(NodeName(node))).items[:1]:
            self._do(Put(item.key, b'{"state":"pending","deleted":false}'))

    def _forge(self, _: str, number: int) -> None:
        """Calico's library died between a handle and its block."""
        key = HandleKey(HandleId(f"net.forged{number}"))
        self._do(Put(key.path, codec.encode(Handle({ip_network("10.9.0.4/30"): 1}))))

    def _restart(self, node: str, _: int) -> None:
        self._machines[node] = Machine(self.store, node)

    def _remove(self, node: str, _: int) -> None:
        """The node is gone for good, and another machine comes under its name."""
        with suppress(KeyError):
            del self._machines[node]
        remove_node(Office(self.store), NodeName(node))
        for held in (self.pods, self.lost):
            for key in [key for key in held if key[0] == node]:
                del held[key]
        self._node(node)

    def _mend(self, _: str, __: int) -> None:
        found = audit(self.store, wait=lambda _: None)
        for each in put_right(Office(self.store), found.findings, found.revision):
            if not each.done:
                self.problems.append(f"{each.finding.what}: {each.said}")
        self.lost.clear()
        again = audit(self.store, wait=lambda _: None).findings
        self.problems += [f"not put right: {each.problem} {each.what}" for each in again]

    # how

    def _held(self) -> set[str]:
        return {a for held in (*self.pods.values(), *self.lost.values()) for a in held}

    def _node(self, name: str) -> None:
        self._resource(Kind.NODE, name, {})
        self._machines[name] = Machine(self.store, name)

    def _resource(self, kind: Kind, name: str, spec: dict[str, Any]) -> None:
        key = ResourceKey(kind, name)
        self._do(Put(key.path, codec.render_new(key, spec, uid=f"uid-{name}", created_at=AT)))

    def _do(self, *writes: Put | Delete) -> None:
        self.store.transact(Transaction((), writes))


def wipe(store: Store) -> None:
    """For the next story on the same store."""
    for prefix in ("/calico/", OWN):
        for item in store.list(prefix).items:
            store.transact(Transaction((), (Delete(item.key),)))


def tell(store: Store, steps: list[Step]) -> None:
    """A whole story; fails at the first step after which something does not hold."""
    story = Story(store)
    for number, step in enumerate(steps):
        story.play(step)
        wrong = story.wrong()
        assert not wrong, f"after step {number}, {step}: {wrong}"
    story.end()
    assert not story.wrong(), story.wrong()


def _handle(node: str, pod: int) -> str:
    return f"net.{_container(node, pod)}"


def _container(node: str, pod: int) -> str:
    return f"{node}{pod}"


def _endpoint(node: str, pod: int) -> ResourceKey:
    return ResourceKey(Kind.WORKLOAD_ENDPOINT, f"{node}-k8s-p{pod}-eth0", "default")


def _renderer(node: str, pod: int) -> Any:
    def render(given: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        spec = {
            "orchestrator": "k8s",
            "node": node,
            "pod": f"p{pod}",
            "endpoint": "eth0",
            "containerID": _container(node, pod),
            "interfaceName": "cali1",
            "ipNetworks": [f"{ip_address(a)}/32" for a in given],
        }
        return codec.render_new(_endpoint(node, pod), spec, uid="u", created_at=AT)

    return render
