"""A cluster in memory for IPAM's tests: objects as Calico writes them, and machines without threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from felix_py.datastore import codec
from felix_py.datastore.changes import STORE_STATE, Change, StoreState, SyncMailbox
from felix_py.datastore.keys import (
    BlockKey,
    HandleKey,
    Key,
    ResourceKey,
    SessionKey,
    parse,
)
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import (
    Block,
    Handle,
    HandleId,
    Invalid,
    IPNetwork,
    Kind,
    NodeName,
    Stored,
)
from felix_py.datastore.store import Compare, ModRevisionIs, Outcome, Put, Store, Transaction, Write
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.mailbox import Mailbox
from ipam.allocator import Allocator
from ipam.batch import Batch
from ipam.census import Living
from ipam.choose import moment_of
from ipam.commit import NodeFence
from ipam.draft import Draft, MissingFacts
from ipam.pool import StartIndex, start_index
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest
from ipam.tickets import Ticket
from ipam.tunnel_lease import TunnelAsk, TunnelLease, settle_tunnel
from ipam.tunnels import TunnelKind
from ipam.upkeep import Devices
from ipam.watched import watched_prefixes

AT = "2026-01-01T00:00:00Z"


class SimpleFence:
    """What the allocator needs of a fence: a session key compared and replaced by every commit."""

    def __init__(self, store: Store, node: NodeName) -> None:
        self._store = store
        self._key = SessionKey(node).path
        self._revision = store.transact(Transaction((), (Put(self._key, b"0"),))).revision
        self._sent = 0
        self.commits = 0
        self.error: Exception | None = None

    def commit(
        self,
        compares: Sequence[Compare],
        writes: Sequence[Write],
        on_failure_get: Sequence[str] = (),
    ) -> Outcome:
        if self.error is not None:
            raise self.error
        self._sent += 1
        mine = ModRevisionIs(self._key, self._revision)
        put = Put(self._key, str(self._sent).encode())
        outcome = self._store.transact(
            Transaction((mine, *compares), (put, *writes), tuple(on_failure_get))
        )
        if outcome.succeeded:
            self._revision = outcome.revision
            self.commits += 1
        return outcome

    def settle(self) -> bool:
        stored = self._store.get(self._key)
        assert stored is not None
        landed = stored.value == str(self._sent).encode()
        outcome = self._store.transact(
            Transaction(
                (ModRevisionIs(self._key, stored.mod_revision),), (Put(self._key, b"settled"),)
            )
        )
        self._revision = outcome.revision
        return landed

    def reopen(self) -> None:
        """As the real one: whatever was held before counts no more."""
        put = Transaction((), (Put(self._key, b"0"),))
        self._revision = self._store.transact(put).revision
        self._sent, self.error = 0, None


@dataclass
class Cluster:
    """etcd's content by the sentences of an administrator."""

    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        spec = {"clusterGUID": "a" * 32, "clusterType": "", "calicoVersion": "v3.32.1"}
        self.resource(Kind.CLUSTER_INFORMATION, "default", {**spec, "datastoreReady": True})

    def resource(
        self, kind: Kind, name: str, spec: dict[str, Any], labels: dict[str, str] | None = None
    ) -> ResourceKey:
        key = ResourceKey(kind, name)
        raw = codec.render_new(key, spec, uid=f"uid-{name}", created_at=AT, labels=labels)
        self.store.put(key.path, raw)
        return key

    def pool(self, name: str, cidr: str, block_size: int, **spec: Any) -> ResourceKey:
        return self.resource(Kind.IP_POOL, name, {"cidr": cidr, "blockSize": block_size, **spec})

    def node(self, name: str, **labels: str) -> ResourceKey:
        return self.resource(Kind.NODE, name, {}, labels)

    def reserve(self, name: str, *cidrs: str) -> ResourceKey:
        return self.resource(Kind.IP_RESERVATION, name, {"reservedCIDRs": list(cidrs)})

    def config(self, **fields: Any) -> None:
        self.store.put("/calico/ipam/v2/config", json.dumps(fields).encode())

    def block(self, cidr: IPNetwork) -> Block | None:
        return cast("Block | None", self._value(BlockKey(cidr)))

    def blocks(self) -> dict[str, Block]:
        found = self.store.list("/calico/ipam/v2/assignment/").items
        keys = [cast("BlockKey", parse(item.key)) for item in found]
        return {str(key.cidr): cast("Block", self._value(key)) for key in keys}

    def handle(self, handle_id: str) -> Handle | None:
        return cast("Handle | None", self._value(HandleKey(HandleId(handle_id))))

    def affinities(self) -> dict[str, str]:
        prefix = "/calico/ipam/v2/host/"
        items = self.store.list(prefix).items
        return {i.key.removeprefix(prefix): json.loads(i.value)["state"] for i in items}

    def _value(self, key: Key) -> object:
        found = self.store.get(key.path)
        if found is None:
            return None
        value = codec.decode(key, found.value)
        assert not isinstance(value, Invalid), value
        return value


class _NoUpkeep:
    wanted = False
    in_use_is_held = True
    problems: ClassVar[dict[TunnelKind, str]] = {}

    def note(self, *, changed: bool) -> None: ...

    def work(self) -> bool:
        return True

    def status(self) -> dict[str, Any]:
        return {}


class Machine:
    """One node's allocator on any store, its thread's steps taken by the test."""

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        start_at: StartIndex = start_index,
        fence: NodeFence | None = None,
        living: Living = tuple,
        devices: Devices = dict,
        others: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store = store
        self.name = NodeName(name)
        self.patience = 4
        """Steps until who asked goes away."""
        self.clock = FakeClock()
        self.mailbox: SyncMailbox = Mailbox()
        self.fence = fence or SimpleFence(store, self.name)
        self.allocator = Allocator(
            store,
            self.fence,
            self.name,
            self.mailbox,
            self.clock,
            living=living,
            devices=devices,
            others=others,
            start_at=start_at,
        )
        self._known: set[Key] = set()

    def stop_upkeep(self) -> None:
        """Do nothing unasked from now on, as Calico's library alone."""
        self.allocator._upkeep = _NoUpkeep()  # type: ignore[assignment]

    def settle_tunnel(self, kind: TunnelKind) -> TunnelLease:
        """What upkeep would do about one kind of tunnel address, in one transaction."""
        self.sync()
        self.settle_down(1)
        allocator = self.allocator
        for _ in range(8):
            draft = Draft(allocator._view)
            try:
                ask = TunnelAsk(kind, frozenset(), moment_of(self.clock.wall()))
                lease = settle_tunnel(draft, ask)
            except MissingFacts as missing:
                allocator._reader.fill([missing])
                continue
            assert allocator._commit.commit(Batch[Ticket](draft)).revision is not None
            return lease
        raise AssertionError("it needs more than 8 reads")

    @property
    def commits(self) -> int:
        """Transactions of this machine that committed."""
        assert isinstance(self.fence, SimpleFence)
        return self.fence.commits

    def sync(self, frozen: str | None = None) -> None:
        """Deliver what a syncer would have delivered by now."""
        present: set[Key] = set()
        revision = 0
        for prefix in watched_prefixes(self.name):
            listing = self.store.list(prefix)
            revision = listing.revision
            for item in listing.items:
                key = parse(item.key)
                if key is None:
                    continue
                present.add(key)
                value = codec.decode(key, item.value)
                if isinstance(value, Invalid):
                    self.mailbox.put(key, Change(None, value))
                    continue
                stored = Stored(value, item.value, item.create_revision, item.mod_revision)
                self.mailbox.put(key, Change(stored))
        for key in self._known - present:
            self.mailbox.put(key, Change(None))
        self._known = present
        self.mailbox.put(STORE_STATE, StoreState(True, True, frozen, revision))

    def submit(self, request: AssignRequest | ReleaseRequest) -> Ticket:
        ticket = Ticket(request, self.clock.now() + 60)
        self.allocator._inbox.put(ticket)
        return ticket

    def step(self) -> None:
        self.mailbox.wake()
        self.allocator.step(0)

    def settle_down(self, steps: int = 10) -> None:
        for _ in range(steps):
            self.step()

    def ask(self, request: AssignRequest | ReleaseRequest) -> Lease | Released:
        self.sync()
        ticket = self.submit(request)
        self.settle_down(self.patience)
        return ticket.wait(0)

    def assign(self, handle: str, **fields: Any) -> Lease:
        attributes = fields.pop("attributes", {"node": self.name})
        request = AssignRequest(HandleId(handle), attributes, **fields)
        answer = self.ask(request)
        assert isinstance(answer, Lease)
        return answer

    def release(self, handle: str, **fields: Any) -> Released:
        answer = self.ask(ReleaseRequest(HandleId(handle), **fields))
        assert isinstance(answer, Released)
        return answer


def addresses(lease: Lease | Released) -> list[str]:
    """The addresses as text."""
    if isinstance(lease, Released):
        return [str(address) for address in lease.addresses]
    return [str(leased.address) for leased in lease.addresses]


__all__ = ["AT", "Cluster", "Machine", "SimpleFence", "addresses"]
