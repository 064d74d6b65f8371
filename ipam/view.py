"""What is known of the store, key by key, with the revisions that a transaction will compare.

Folded from the mailbox (pools, reservations, configuration, own Node, own affinities) and from our
own reads and writes (blocks, handles, endpoints). One thread owns a View; nothing here reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from felix_py.datastore.changes import NOT_YET, STORE_STATE, Change, StoreState, StoreStateKey
from felix_py.datastore.felix_configuration import FelixConfiguration, effective
from felix_py.datastore.keys import (
    AffinityKey,
    BlockKey,
    HandleKey,
    IPAMConfigKey,
    Key,
    ResourceKey,
)
from felix_py.datastore.model import (
    Block,
    BlockAffinity,
    ClusterInformation,
    IPAMConfig,
    IPNetwork,
    IPPool,
    IPReservation,
    Kind,
    Metadata,
    Node,
    NodeName,
    PoolName,
)
from ipam.holdings import Holdings
from ipam.pool import Leftovers, StartIndex, start_index
from ipam.seen import ABSENT, UNREADABLE, Seen
from ipam.watched import CLUSTER, CONFIG

MAX_REMEMBERED = 4096
"""Handles and endpoints kept from our own writes; at the bound the oldest half is forgotten, which
costs a read when they are released."""


@dataclass(slots=True)
class View:
    """All that decisions look at. `start_at` may be replaced to place first blocks elsewhere."""

    node: NodeName
    virtual: bool = False
    """The owner is no node but Calico's load balancer (ipam/load_balancer.py)."""
    state: StoreState = NOT_YET
    facts: dict[Key, Seen] = field(default_factory=dict)
    listed: dict[int, tuple[IPNetwork, ...]] = field(default_factory=dict)
    """By IP version: every block there is, as read in this round; empty between rounds."""
    names: dict[int, frozenset[IPNetwork]] = field(default_factory=dict)
    """By IP version: which blocks there are, as read in this round; empty between rounds."""
    leftovers: dict[PoolName, Leftovers] = field(default_factory=dict)
    exhausted: dict[tuple[PoolName, ...], datetime] = field(default_factory=dict)
    """When these pools were last found to be full outside our own blocks."""
    own_blocks_fresh: bool = False
    """True when own blocks were read again in this round."""
    fresh: set[Key] = field(default_factory=set)
    """What we read or wrote ourselves in this round; empty between rounds."""
    reservations_as_of: int = 0
    watching: bool = True
    """False: no syncer fills this view, so nothing that was not read is known to be absent."""
    start_at: StartIndex = start_index
    holdings: Holdings = field(default_factory=Holdings)
    """Of all known blocks."""
    in_use: tuple[IPNetwork, ...] = ()
    """Addresses of what lives on this node although the store does not give them to it."""
    _learnt: set[BlockKey | AffinityKey] = field(default_factory=set)
    """What may be another node's: looked at when the round ends."""
    _remembered: dict[Key, None] = field(default_factory=dict)
    _pools: tuple[IPPool, ...] | None = None
    _reservations: tuple[IPNetwork, ...] | None = None
    _affinities: tuple[tuple[AffinityKey, BlockAffinity], ...] | None = None
    _configuration: FelixConfiguration | None = None
    _all_read: bool = False

    def fold(self, changes: Mapping[Key | StoreStateKey, Change | StoreState]) -> bool:
        """Take in what the syncer said; True when anything changed."""
        trusting = not self.state.may_act
        for key, change in changes.items():
            if isinstance(change, StoreState) or isinstance(key, StoreStateKey):
                continue
            self._fold_one(key, change, trusting=trusting)
        state = changes.get(STORE_STATE)
        if isinstance(state, StoreState):
            if self.state.may_act and not state.may_act:
                self._distrust()
            self.state = state
            least = 0 if trusting else self.reservations_as_of
            self.reservations_as_of = max(least, state.revision)
        return bool(changes)

    def learn(self, key: Key, fact: Seen) -> None:
        """Note what we read or wrote ourselves."""
        self.facts[key] = fact
        self.fresh.add(key)
        self._changed(key)
        if isinstance(key, BlockKey):
            self._learnt.add(key)
            self.holdings.note(key.cidr, fact.value if isinstance(fact.value, Block) else None)
        is_endpoint = isinstance(key, ResourceKey) and key.kind is Kind.WORKLOAD_ENDPOINT
        if is_endpoint or isinstance(key, HandleKey):
            self._remembered[key] = None
            if len(self._remembered) > MAX_REMEMBERED:
                self.forget(list(self._remembered)[: MAX_REMEMBERED // 2])

    def note_names(self, version: int, cidrs: Iterable[IPNetwork]) -> None:
        """Which blocks of an IP version there are now."""
        self.names[version] = frozenset(cidrs)
        self.leftovers.clear()

    def forget(self, keys: Iterable[Key]) -> None:
        """Know nothing of these keys any more; they are read when they are needed."""
        for key in keys:
            self.facts.pop(key, None)
            self.fresh.discard(key)
            self._remembered.pop(key, None)
            self._changed(key)
            if isinstance(key, BlockKey):
                self.holdings.note(key.cidr, None)
                self._all_read = False

    def end_round(self) -> None:
        """Forget other nodes' blocks and affinities: they may change before the next round."""
        if self._learnt:
            self.forget([key for key in self._learnt if self._is_foreign(key)])
            self._learnt.clear()
        self.listed.clear()
        self.names.clear()
        self.fresh.clear()
        self.own_blocks_fresh = False

    def _is_foreign(self, key: BlockKey | AffinityKey) -> bool:
        if isinstance(key, BlockKey):
            return not self.owns(key.cidr)
        return not (self.is_mine(key) and self.facts.get(key, ABSENT).exists)

    def owns(self, cidr: IPNetwork) -> bool:
        """Whether this node claims the block."""
        return isinstance(self.facts.get(self.claim_on(cidr), ABSENT).value, BlockAffinity)

    def claim_on(self, cidr: IPNetwork) -> AffinityKey:
        """The key by which this owner claims a block."""
        return AffinityKey(self.node, cidr, self.virtual)

    def is_ours(self, block: Block) -> bool:
        """Whether a block says that it is this owner's."""
        return block.affinity == self.claim_on(block.cidr).owner

    def get(self, key: Key) -> Seen | None:
        """The fact, None when it is not known. Watched keys are always known."""
        fact = self.facts.get(key)
        if fact is None and self.is_watched(key):
            return ABSENT
        return fact

    def is_mine(self, key: Key) -> bool:
        """True for this owner's affinities."""
        return (
            isinstance(key, AffinityKey) and key.node == self.node and key.virtual is self.virtual
        )

    def is_watched(self, key: Key) -> bool:
        """True for keys whose absence is known because the syncer would have told us."""
        if not self.watching:
            return False
        if isinstance(key, ResourceKey):
            return key.kind is not Kind.WORKLOAD_ENDPOINT
        return isinstance(key, IPAMConfigKey) or self.is_mine(key)

    @property
    def pools(self) -> tuple[IPPool, ...]:
        """All readable pools, by name."""
        if self._pools is None:
            found = [s.value for s in self.facts.values() if isinstance(s.value, IPPool)]
            self._pools = tuple(sorted(found, key=lambda pool: pool.name))
        return self._pools

    @property
    def reservations(self) -> tuple[IPNetwork, ...]:
        """All reserved ranges of both families."""
        if self._reservations is None:
            values = [s.value for s in self.facts.values() if isinstance(s.value, IPReservation)]
            self._reservations = tuple(net for value in values for net in value.reserved)
        return self._reservations

    @property
    def affinities(self) -> tuple[tuple[AffinityKey, BlockAffinity], ...]:
        """This node's readable affinities in the order of their keys."""
        if self._affinities is None:
            mine = [
                (key, fact.value)
                for key, fact in self.facts.items()
                if isinstance(key, AffinityKey)
                and self.is_mine(key)
                and isinstance(fact.value, BlockAffinity)
            ]
            self._affinities = tuple(sorted(mine, key=lambda pair: pair[0].path))
        return self._affinities

    @property
    def config(self) -> IPAMConfig:
        """IPAM's configuration; without one, the defaults."""
        value = self.facts.get(CONFIG, ABSENT).value
        return value if isinstance(value, IPAMConfig) else IPAMConfig()

    @property
    def configuration(self) -> FelixConfiguration:
        """FelixConfiguration as it holds on this node: whether tunnels are switched off."""
        if self._configuration is None:
            objects = {
                fact.value.meta.name: fact.value
                for fact in self.facts.values()
                if isinstance(fact.value, FelixConfiguration)
            }
            node = self.own_node
            self._configuration = effective(objects, self.node, node.meta.labels if node else {})
        return self._configuration

    @property
    def own_node(self) -> Node | None:
        """This node's Node object; a virtual owner has none in the store, and no labels."""
        if self.virtual:
            return Node(Metadata(self.node))
        value = self.facts.get(ResourceKey(Kind.NODE, self.node), ABSENT).value
        return value if isinstance(value, Node) else None

    @property
    def ready(self) -> bool:
        """False when the cluster is not initialised or its datastore is locked."""
        value = self.facts.get(CLUSTER, ABSENT).value
        return isinstance(value, ClusterInformation) and value.datastore_ready

    def block(self, cidr: IPNetwork) -> Block | None:
        """A block that is known and readable."""
        value = self.facts.get(BlockKey(cidr), ABSENT).value
        return value if isinstance(value, Block) else None

    def unread_blocks(self) -> tuple[BlockKey, ...]:
        """Blocks of this node's affinities that nobody has read yet."""
        if self._all_read:
            return ()
        keys = (BlockKey(key.cidr) for key, _ in self.affinities)
        unread = tuple(key for key in keys if key not in self.facts)
        self._all_read = not unread
        return unread

    def _fold_one(self, key: Key, change: Change, *, trusting: bool) -> None:
        known = self.facts.get(key, ABSENT)
        stored = change.stored
        if stored is not None and stored.mod_revision == known.mod_revision and not trusting:
            return
        self._changed(key)
        self.exhausted.clear()
        if stored is None and change.invalid is None:
            self.facts.pop(key, None)
            if isinstance(key, AffinityKey):
                self.forget([BlockKey(key.cidr)])  # another's by now, or gone
            return
        if stored is None:
            self.facts[key] = Seen(mod_revision=UNREADABLE, as_of=known.as_of)
            return
        if trusting or stored.mod_revision > known.as_of:
            self.facts[key] = Seen(
                stored.value,
                stored.raw,
                stored.mod_revision,
                stored.create_revision,
                stored.mod_revision,
            )

    def _changed(self, key: Key) -> None:
        if isinstance(key, AffinityKey):
            self._affinities = None
            self._all_read = False
            self.holdings.forget_claims()
            self._learnt |= {key, BlockKey(key.cidr)}
        elif isinstance(key, ResourceKey):
            if key.kind is Kind.IP_POOL:
                self._pools = None
                self.holdings.forget_claims()
            if key.kind is Kind.IP_RESERVATION:
                self._reservations = None
            if key.kind in {Kind.FELIX_CONFIGURATION, Kind.NODE}:
                self._configuration = None

    def _distrust(self) -> None:
        """The store went back: what we learnt by ourselves may never have been."""
        learnt = [key for key in self.facts if not self.is_watched(key)]
        self.forget(learnt)
        self.listed.clear()
        self.leftovers.clear()
