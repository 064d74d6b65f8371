"""A cluster's addresses twice: by our allocators on a store, and by the plainest model of what must be true.

Every step asks both; `check` holds the whole store against the model.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from felix_py.datastore import codec
from felix_py.datastore.errors import StoreAway
from felix_py.datastore.fence import Fence
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, Kind, NodeName
from felix_py.datastore.store import Delete, Put, Store, Transaction
from ipam import admin
from ipam.audit import audit
from ipam.errors import AddressTaken, NoQualifiedPool, NotInPool, NotYours, PoolExhausted
from ipam.findings import Problem
from ipam.mender import put_right
from ipam.office import Office
from ipam.requests import AssignRequest, Lease
from tests.support.hooked_store import HookedStore
from tests.unit.ipam.cluster import AT, Machine, addresses
from tests.unit.ipam.contested import ALL, NODES, POOLS, pool_of
from tests.unit.ipam.written import (
    endpoint,
    has_odd_block,
    held_in,
    lies_in_block_of,
    named_by_handles,
    shown_by,
)

T = TypeVar("T")
Answer = tuple[str, ...]
"""Addresses, or the name of the refusal alone."""

Committed = tuple[bool, ...]
"""Transactions that got no answer, in their order: was each carried out, or never sent?"""


@dataclass
class World:
    """The store, a machine for each node, and the model: address to handle, and what is switched how."""

    store: Store
    held: dict[str, str] = field(default_factory=dict)
    shown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Handle to the addresses that its endpoint shows."""
    reservations: set[str] = field(default_factory=set)
    disabled: set[str] = field(default_factory=set)
    strict: bool = False
    sizes: dict[str, int] = field(
        default_factory=lambda: {n: size for n, (_, size) in POOLS.items()}
    )
    machines: dict[str, Machine] = field(default_factory=dict)
    between_steps: bool = False
    """True while something happens in the middle of a step."""

    def __post_init__(self) -> None:
        cluster = {"clusterGUID": "a" * 32, "datastoreReady": True}
        self._resource(Kind.CLUSTER_INFORMATION, "default", cluster)
        for name in POOLS:
            self._pool(name)
        for name in NODES:
            self._resource(Kind.NODE, name, {})
        self.set_strict(strict=False)
        for name in NODES:
            self.restart(name)

    def assign(self, node: str, handle: str, families: tuple[int, ...], count: int) -> Answer:
        """Any addresses. Refused only when there are too few, and then for nothing."""
        try:
            lease = self._given(node, handle, families=families, count=count)
        except (PoolExhausted, NoQualifiedPool) as error:
            assert self.strict or any(self._lacks(node, handle, v, count) for v in families)
            return (type(error).__name__,)
        given = addresses(lease)
        assert len(given) == len(set(given)) == count * len(families)
        fresh = [address for address in given if address not in self.held]
        assert not any(map(self._reserved, fresh)), (
            "a reserved address was given to who did not name it"
        )
        assert all(self._enabled(address) for address in fresh)
        if self.strict:
            assert all(lies_in_block_of(self.store, node, address) for address in fresh)
        return self._note(handle, given)

    def assign_given(self, node: str, handle: str, address: str) -> Answer:
        """This very address, reserved or not."""
        try:
            lease = self._given(node, handle, addresses=(ip_address(address),))
        except (AddressTaken, NotInPool, NotYours) as error:
            refusal = type(error)
        else:
            assert addresses(lease) == [address]
            return self._note(handle, [address])
        holder = self.held.get(address)
        reasons = {
            AddressTaken: holder is not None and holder != handle,
            NotInPool: not self._enabled(address) and holder != handle,
            NotYours: (self.strict or self._has_odd_block(address)) and holder != handle,
        }
        assert reasons[refusal]
        return (refusal.__name__,)

    def release(self, node: str, handle: str) -> Answer:
        """All that a handle holds, wherever it came from."""
        key = endpoint(handle).key
        released = self._settled(
            lambda machine: machine.release(handle, container_id=handle, endpoint_key=key), node
        )
        mine = {address for address, holder in self.held.items() if holder == handle}
        assert set(addresses(released)) == mine
        assert released.endpoint_deleted == (handle in self.shown)
        self.held = {each: holder for each, holder in self.held.items() if holder != handle}
        self.shown.pop(handle, None)
        return tuple(sorted(mine))

    def lose(self, node: str, committed: Committed) -> None:
        """The node's next transactions get no answer."""
        self._switch(node).lose_answers(committed)

    def between(self, node: str, happens: Callable[[World], object]) -> None:
        """Between the node's next decision on a handle and its transaction something else happens."""

        def once() -> None:
            if not self.between_steps:
                self.between_steps = True
                happens(self)
                self.between_steps = False

        self._switch(node).once_before("/calico/ipam/v2/handle/", once)

    def die_while_assigning(self, node: str, handle: str, committed: Committed) -> Answer:
        """The process ends at the last of these transactions; the next one knows nothing of it."""
        machine = self._machine_of(node)
        self.lose(node, committed)
        machine.sync()
        attributes = {"node": node}
        machine.submit(AssignRequest(HandleId(handle), attributes, endpoint=endpoint(handle)))
        machine.settle_down(len(committed))
        self.restart(node)
        stored = held_in(self.store)
        news = tuple(sorted({*stored} - {*self.held}))
        assert not news or committed[0], "what was never sent has happened"
        assert all(stored[address] == handle for address in news)
        self.held |= dict.fromkeys(news, handle)
        self.shown = shown_by(self.store)
        return news

    def restart(self, node: str, committed: Committed = ()) -> None:
        """A process with an empty memory; those before it died while they opened their fence."""
        old = self.machines.get(node)
        store = HookedStore(self.store)
        store.lose_answers(committed)
        for _ in range(len(committed) + 1):
            fence = Fence(store, NodeName(node), f"machine-{node}")
            try:
                fence.open()
            except StoreAway:
                continue
        self.machines[node] = machine = Machine(store, node, fence=fence)
        machine.patience = 8  # answers that are lost take a step, races that are lost another
        machine.clock.advance(old.clock.now() if old else 0)

    def set_strict(self, *, strict: bool) -> None:
        self.strict = strict
        config = {"strict_affinity": strict, "auto_allocate_blocks": True}
        self._put("/calico/ipam/v2/config", json.dumps(config).encode())

    def switch(self, pool: str) -> None:
        """Disable or enable a pool."""
        self.disabled ^= {pool}
        self._pool(pool)

    def resize(self, pool: str, size: int) -> None:
        """Delete a pool and make it again with blocks of another size; what was given out stays."""
        self.sizes[pool] = size
        self._do(Delete(ResourceKey(Kind.IP_POOL, pool).path))
        self._pool(pool)

    def reserve(self, cidr: str) -> None:
        """Reserve, or end it."""
        key = ResourceKey(Kind.IP_RESERVATION, cidr.translate({ord(c): "-" for c in ":./"}))
        self.reservations ^= {cidr}
        if cidr not in self.reservations:
            self._do(Delete(key.path))
        else:
            self._resource(Kind.IP_RESERVATION, key.name, {"reservedCIDRs": [cidr]})

    def give_up_blocks(self, node: str) -> None:
        """An administrator ends all that a node claims."""
        admin.release_host_affinities(Office(self.store), NodeName(node))

    def mend(self) -> None:
        """An audit, and what it finds put right: addresses that no endpoint shows are free again."""
        found = audit(self.store, wait=lambda _: None)
        mended = put_right(Office(self.store), found.findings, found.revision)
        assert all(each.done for each in mended)
        self.held = {a: holder for a, holder in self.held.items() if a in self._all_shown()}

    def pass_time(self, seconds: float) -> None:
        for machine in self.machines.values():
            machine.clock.advance(seconds)

    def check(self) -> None:
        """The whole store is as the model says, and an audit finds nothing but what no endpoint shows."""
        assert held_in(self.store) == self.held
        assert shown_by(self.store) == self.shown
        assert named_by_handles(self.store) == Counter(self.held.values())
        found = audit(self.store, wait=lambda _: None).findings
        unshown = {*self.held} - self._all_shown()
        left = [f for f in found if not (f.problem is Problem.LEAKED and f.what in unshown)]
        assert left == []

    def _all_shown(self) -> set[str]:
        return {address for shown in self.shown.values() for address in shown}

    def _given(self, node: str, handle: str, **fields: Any) -> Lease:
        draft = endpoint(handle)
        return self._settled(lambda machine: machine.assign(handle, endpoint=draft, **fields), node)

    def _settled(self, ask: Callable[[Machine], T], node: str) -> T:
        """Ask as a runtime does: again when the answer was "try again later"."""
        for _ in range(4):
            try:
                return ask(self._machine_of(node))
            except StoreAway:
                continue
        raise AssertionError("the store was away for a few transactions only")

    def _lacks(self, node: str, handle: str, version: int, count: int) -> bool:
        """Whether a handle cannot have so many addresses of a version on a node."""
        mine = sum(1 for a in ALL[version] if self.held.get(a) == handle)
        free = [
            address
            for address in ALL[version]
            if address not in self.held
            and not self._reserved(address)
            and self._enabled(address)
            and (lies_in_block_of(self.store, node, address) or not self._has_odd_block(address))
        ]
        return mine + len(free) < count

    def _has_odd_block(self, address: str) -> bool:
        """Whether blocks of another size are in the way of the one that would have this address now."""
        wanted = ip_network(f"{address}/{self.sizes[pool_of(address)]}", strict=False)
        return has_odd_block(self.store, wanted)

    def _reserved(self, address: str) -> bool:
        return any(ip_address(address) in ip_network(cidr) for cidr in self.reservations)

    def _enabled(self, address: str) -> bool:
        return pool_of(address) not in self.disabled

    def _note(self, handle: str, given: Iterable[str]) -> Answer:
        for address in given:
            assert self.held.get(address, handle) == handle, f"{address} was given twice"
            self.held[address] = handle
        self.shown[handle] = tuple(given)
        return tuple(given)

    def _machine_of(self, node: str) -> Machine:
        """The node's machine, a moment later: full pools are looked at again."""
        self.pass_time(2)
        return self.machines[node]

    def _switch(self, node: str) -> HookedStore:
        store = self.machines[node].store
        assert isinstance(store, HookedStore)
        return store

    def _pool(self, name: str) -> None:
        spec = {
            "cidr": POOLS[name][0],
            "blockSize": self.sizes[name],
            "disabled": name in self.disabled,
        }
        self._resource(Kind.IP_POOL, name, spec)

    def _resource(self, kind: Kind, name: str, spec: dict[str, Any]) -> None:
        key = ResourceKey(kind, name)
        self._put(key.path, codec.render_new(key, spec, uid=f"uid-{name}", created_at=AT))

    def _put(self, path: str, value: bytes) -> None:
        self._do(Put(path, value))

    def _do(self, write: Put | Delete) -> None:
        self.store.transact(Transaction((), (write,)))
