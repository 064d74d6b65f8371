"""Every IPAM call of the captured Calico run, by our code on a real etcd: the same state after each."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.fence import Fence
from felix_py.datastore.keys import RESOURCES
from felix_py.datastore.model import HandleId, IPAMConfig, IPPool, NodeName, PoolName
from ipam import admin
from ipam.admin import AddressRelease, Office
from ipam.errors import AddressTaken, BlockLimitReached, NotYours, PoolExhausted, StaleLease
from ipam.tunnels import TunnelKind
from tests.functional.ipam import captured
from tests.support.etcd import EtcdServer
from tests.unit.ipam.cluster import Machine, addresses

POD = "k8s-pod-network.0123456789abcdef"
SPECIFIC = "k8s-pod-network.specific"
TUNNEL = "ipip-tunnel-addr-worker-1"
TINY = f"{RESOURCES}ippools/tiny"

FIRST_BLOCKS = {
    ("worker-1", "default-ipv4-ippool"): 9,
    ("worker-2", "default-ipv4-ippool"): 23,
    ("worker-2", "v6"): 0x85C0 // 64,
    ("worker-1", "tiny"): 1,
}
"""Where Go's random order placed the first blocks of the captured run."""


def first_block(node: NodeName, pool: IPPool) -> int:
    return FIRST_BLOCKS.get((node, pool.name), 0)


class Replay:
    """The captured calls in their order; each returns the captured revision it leads to."""

    def __init__(self, server: EtcdServer, store: EtcdStore) -> None:
        self.server = server
        self.store = store
        self.office = Office(store)
        self.goldens = captured.states()
        for key, text in self.goldens[24].items():
            server.put(key, text)
        self.one, self.two = (self._machine(name) for name in ("worker-1", "worker-2"))

    def calls(self) -> Iterator[tuple[int, Callable[[], None]]]:
        yield 31, self.assign_the_first
        yield 33, self.assign_a_tunnel
        yield 39, self.assign_ipv6
        yield 44, lambda: self._given(self.two, "10.244.0.100")
        yield 46, lambda: self._given(self.one, "10.244.0.101")
        yield 46, self.refuse_what_is_not_meant
        yield 48, self.release_two_addresses
        yield 50, lambda: self._release(self.two, SPECIFIC)
        yield 54, lambda: self._release(self.one, POD)
        yield 54, self.release_what_is_gone
        yield 57, lambda: self._end_affinities("worker-1")
        yield 63, lambda: self._end_affinities("worker-2")
        yield 65, lambda: self._release(self.one, TUNNEL)
        yield 66, lambda: self._configure(IPAMConfig(True, True, 4))
        yield 67, lambda: self._configure(IPAMConfig(auto_allocate_blocks=True))
        yield 68, lambda: self.server.put(TINY, self.goldens[68][TINY])
        yield 80, lambda: self._tiny(self.one, "t.0", 5, ["4", "5", "6", "7", "0"])
        yield 82, lambda: self._tiny(self.two, "t.1", 2, ["1", "2"])
        yield 84, lambda: self._tiny(self.one, "t.2", 1, ["3"])
        yield 84, self.exhaust
        yield 89, self.reach_the_block_limit
        yield 97, lambda: self._delete_pool("tiny")
        yield 100, lambda: admin.remove_node(self.office, NodeName("worker-1"))

    def assign_the_first(self) -> None:
        block = self._golden_block(31, "10.244.0.72-29")
        lease = self._assign(self.one, POD, attributes=block["attributes"][0]["secondary"])
        assert addresses(lease) == ["10.244.0.72"]

    def assign_a_tunnel(self) -> None:
        """As the cni server does: pool, handle and attributes are our own decision."""
        assert self.one.settle_tunnel(TunnelKind.IPIP).address == ip_address("10.244.0.73")
        again = self.one.settle_tunnel(TunnelKind.IPIP)
        assert again.address == ip_address("10.244.0.73")

    def assign_ipv6(self) -> None:
        lease = self._assign(self.two, POD, attributes={}, families=(6,))
        assert addresses(lease) == ["fd00:10:244::85c0"]

    def refuse_what_is_not_meant(self) -> None:
        taken = ip_address("10.244.0.101")
        with pytest.raises(AddressTaken):
            self._assign(self.one, "another", attributes={}, addresses=(taken,))
        with pytest.raises(NotYours):
            admin.release_addresses(self.office, [AddressRelease(taken, HandleId("another"))])
        with pytest.raises(StaleLease):
            admin.release_addresses(self.office, [AddressRelease(taken, HandleId(SPECIFIC), 7)])

    def release_two_addresses(self) -> None:
        both = [ip_address("10.244.0.100"), ip_address("10.244.0.102")]
        freed = admin.release_addresses(self.office, [AddressRelease(each) for each in both])
        assert (freed.released, freed.unallocated) == ((both[0],), (both[1],))

    def release_what_is_gone(self) -> None:
        assert self.one.release(POD).addresses == ()

    def exhaust(self) -> None:
        with pytest.raises(PoolExhausted, match=r"10\.99\.0\.0/29"):
            self._assign(self.one, "t.9", attributes={}, pools=("10.99.0.0/29",), count=2)

    def reach_the_block_limit(self) -> None:
        self._configure(IPAMConfig(True, True, 1))
        pools = ("default-ipv4-ippool",)
        with pytest.raises(BlockLimitReached):
            self._assign(self.two, "limit", attributes={}, pools=pools, count=9)
        self._configure(IPAMConfig(auto_allocate_blocks=True))

    def _machine(self, name: str) -> Machine:
        fence = Fence(self.store, NodeName(name), "machine-id")
        fence.open()
        machine = Machine(self.store, name, start_at=first_block, fence=fence)
        machine.stop_upkeep()
        return machine

    def _assign(self, machine: Machine, handle: str, **fields: Any) -> Any:
        return machine.assign(handle, **fields)

    def _given(self, machine: Machine, address: str) -> None:
        lease = machine.assign(SPECIFIC, addresses=(ip_address(address),))
        assert addresses(lease) == [address]

    def _tiny(self, machine: Machine, handle: str, count: int, last: list[str]) -> None:
        lease = machine.assign(handle, attributes={}, pools=("tiny",), count=count)
        assert addresses(lease) == [f"10.99.0.{digit}" for digit in last]

    def _release(self, machine: Machine, handle: str) -> None:
        assert machine.release(handle).addresses

    def _end_affinities(self, node: str) -> None:
        assert admin.release_host_affinities(self.office, NodeName(node))

    def _configure(self, config: IPAMConfig) -> None:
        admin.set_ipam_config(self.office, config)

    def _delete_pool(self, name: str) -> None:
        admin.delete_pool(self.office, PoolName(name), wait=lambda _: None)

    def _golden_block(self, revision: int, name: str) -> dict[str, Any]:
        state = captured.parsed(self.goldens[revision])
        block: dict[str, Any] = state[f"/calico/ipam/v2/assignment/ipv4/block/{name}"]
        return block


@pytest.mark.etcd
def test_after_every_call_the_store_holds_what_calico_left_there(etcd: EtcdServer) -> None:
    store = EtcdStore.connect(etcd.settings)
    rules = captured.rules()
    started_at = time.monotonic()
    try:
        replay = Replay(etcd, store)
        for revision, call in replay.calls():
            call()
            ours = captured.parsed(etcd.dump("/calico/"))
            theirs = captured.parsed(replay.goldens[revision])
            assert captured.differences(theirs, ours, rules) == [], f"after revision {revision}"
    finally:
        store.close()
    assert time.monotonic() - started_at < 60


MAY_VARY = re.compile(r"\.(sequenceNumber|sequenceNumberForAllocation\.\d+|affinity_claim_time)")


def test_any_other_field_that_is_altered_is_a_difference() -> None:
    rules = captured.rules()
    values = {
        (key, text)
        for state in captured.states().values()
        for key, text in state.items()
        if key.startswith("/calico/ipam/")
    }
    unnoticed: set[str] = set()
    altered = 0
    for key, text in values:
        state = captured.parsed({key: text})
        for path, steps in captured.leaves(state[key]):
            ours = copy.deepcopy(state)
            _alter(ours, key, steps)
            altered += 1
            if not captured.differences(state, ours, rules):
                unnoticed.add(path)
    assert altered > 800
    assert unnoticed
    assert all(MAY_VARY.fullmatch(path) for path in unnoticed), unnoticed


@pytest.mark.parametrize("revision", [31, 84])
def test_a_key_that_is_missing_or_too_many_is_a_difference(revision: int) -> None:
    rules = captured.rules()
    state = captured.parsed(captured.states()[revision])
    for key in state:
        if key == "/calico/ipam/v2/config":
            continue
        less = {other: value for other, value in state.items() if other != key}
        assert captured.differences(state, less, rules), key
        assert captured.differences(less, state, rules), key


def _alter(state: captured.State, key: str, steps: list[Any]) -> None:
    if not steps:
        state[key] = "altered"
        return
    inner = state[key]
    for step in steps[:-1]:
        inner = inner[step]
    old = inner[steps[-1]]
    inner[steps[-1]] = old + 1 if type(old) is int else "altered"
