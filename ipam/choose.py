"""Which blocks automatic assignment takes addresses from, in Calico's order. Pure, over a Draft.

Own blocks with room; else a block nobody has; else another node's empty block claimed a minute ago
or earlier; else, unless affinity is strict, an address borrowed from another node's block.
Reference: Calico v3.32.1 `libcalico-go/lib/ipam/ipam.go` (autoAssign, findUsableBlock).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from felix_py.datastore.keys import AffinityKey, BlockKey, IPAMConfigKey
from felix_py.datastore.model import (
    DEFAULT_MAX_BLOCKS_PER_HOST,
    Attribute,
    Block,
    IPAddress,
    IPNetwork,
    IPPool,
    NodeName,
    PoolName,
)
from ipam import block as blocks
from ipam import own
from ipam import pool as pools_
from ipam.draft import Draft, MissingFacts, Unreadable
from ipam.errors import BlockLimitReached, PoolExhausted
from ipam.leftover import overlapping

EXHAUSTED_FOR = timedelta(seconds=1)
"""So long requests are refused on the word of the last listing of all blocks; then they are listed
again. An address that another node gives back meanwhile is found that much later."""

RECLAIM_AGE = timedelta(minutes=1)
"""How long an empty block of another node is left alone: its node may be about to use it."""

PROBED_BLOCKS = 32
"""Blocks looked up one by one before all are listed: an empty pool costs one small read."""

VIRTUAL_PREFIX = "virtual:"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a batch is decided: wall time for claim times, nanoseconds for sequence numbers."""

    at: datetime
    sequence: int


def moment_of(wall: datetime) -> Moment:
    """The moment of a decision that is taken now."""
    return Moment(wall, int(wall.timestamp() * 1e9))


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many addresses of one IP version, from which pools, for whom."""

    version: int
    count: int
    pools: tuple[IPPool, ...]
    holder: Attribute


class Chooser:
    """Takes addresses for one request out of a draft, block by block."""

    def __init__(self, draft: Draft, wanted: Wanted, moment: Moment) -> None:
        self._draft = draft
        self._view = draft.view
        self._wanted = wanted
        self._moment = moment
        self._taken: list[tuple[IPAddress, Block]] = []

    def take(self) -> list[tuple[IPAddress, Block]]:
        """Exactly as many (address, its block) as wanted.

        Raises PoolExhausted, BlockLimitReached, MissingFacts: then the draft is to be dropped.
        """
        self._draft.rely(IPAMConfigKey())
        self._draft.rely_on_reservations()
        self._from_own(self._own_with_room())
        if self._missing:
            self._from_elsewhere()
        if self._missing:
            names = ", ".join(f"{pool.name} ({pool.cidr})" for pool in self._wanted.pools)
            raise PoolExhausted(
                f"assigned {len(self._taken)} out of {self._wanted.count} requested"
                f" IPv{self._wanted.version} addresses: no addresses available in pools {names};"
                " add a pool or release addresses",
                self._pool_names,
            )
        return self._taken

    def _from_elsewhere(self) -> None:
        owned = self._own_count()
        if owned and not self._view.own_blocks_fresh:
            raise MissingFacts(own_blocks=True)
        if not self._found_full_just_now():
            self._from_claimed(owned)
            self._from_borrowed()

    @property
    def _missing(self) -> int:
        return self._wanted.count - len(self._taken)

    @property
    def _pool_names(self) -> tuple[PoolName, ...]:
        return tuple(pool.name for pool in self._wanted.pools)

    def _found_full_just_now(self) -> bool:
        """Requests that fail by the dozen must not list all blocks of the cluster each time."""
        at = self._view.exhausted.get(self._pool_names)
        if at is not None and timedelta() <= self._moment.at - at < EXHAUSTED_FOR:
            return True
        self._view.exhausted.pop(self._pool_names, None)
        return False

    def _own_count(self) -> int:
        """How many blocks inside the chosen pools are ours, those claimed in this batch too."""
        held = own.inside(self._view, self._wanted.pools)
        count = len(held)
        for cidr, kept in self._draft.claims.items():
            if kept is not (cidr in held) and pools_.containing(cidr, self._wanted.pools):
                count += 1 if kept else -1
        return count

    def _own_with_room(self) -> Iterable[IPNetwork]:
        """Blocks of ours inside the chosen pools that may have room: by their keys' order, then those
        that this batch claims or takes back addresses into."""
        found = own.with_room(self._view, self._wanted.pools)
        changed = [cidr for cidr in self._draft.planned_blocks if cidr not in found]
        inside = (cidr for cidr in changed if pools_.containing(cidr, self._wanted.pools))
        return (*found, *sorted(inside, key=lambda cidr: BlockKey(cidr).path))

    def _from_own(self, owned: Iterable[IPNetwork]) -> None:
        for cidr in owned:
            if not self._missing:
                return
            block = self._readable(cidr)
            if block is not None and self._view.is_ours(block):
                self._take_from(block)

    def _from_claimed(self, owned: int) -> None:
        config = self._view.config
        limit = config.max_blocks_per_host or DEFAULT_MAX_BLOCKS_PER_HOST
        while self._missing:
            if owned >= limit:
                raise BlockLimitReached(
                    f"node {self._view.node} has {owned} IPv{self._wanted.version} blocks and may"
                    f" have {limit}: raise maxBlocksPerHost or release addresses"
                )
            if not config.auto_allocate_blocks:
                raise PoolExhausted(
                    f"no free IPv{self._wanted.version} address in the blocks of node"
                    f" {self._view.node}, and auto_allocate_blocks in {IPAMConfigKey().path} is"
                    " false: set it to true"
                )
            block = self._free_block() or self._reclaimed_block()
            if block is None:
                return
            self._take_from(block)
            owned += 1

    def _free_block(self) -> Block | None:
        for pool in self._wanted.pools:
            cidr = self._unclaimed(pool)
            if cidr is not None:
                return self._claim(cidr)
        return None

    def _unclaimed(self, pool: IPPool) -> IPNetwork | None:
        """The first block of the pool that nobody has; the names of all are listed only if they must."""
        start = self._view.start_at(self._view.node, pool)
        order = pools_.candidates(pool, start, self._view.reservations)
        if self._wanted.version in self._view.names:
            return next((cidr for cidr in order if self._is_unclaimed(pool, cidr)), None)
        probed = list(islice(order, PROBED_BLOCKS))
        unknown = [cidr for cidr in probed if not self._is_known(cidr)]
        free = next((c for c in probed if c not in unknown and self._is_unclaimed(pool, c)), None)
        if free is not None:
            return free
        if unknown:
            raise MissingFacts(*(BlockKey(cidr) for cidr in unknown))
        if len(probed) < PROBED_BLOCKS:
            return None
        raise MissingFacts(names_of_version=self._wanted.version)

    def _is_known(self, cidr: IPNetwork) -> bool:
        key = BlockKey(cidr)
        return self._draft.planned(key)[0] or self._view.get(key) is not None

    def _is_unclaimed(self, pool: IPPool, cidr: IPNetwork) -> bool:
        """True when there is no block, of whatever size, and one would have an address to give."""
        is_planned, value = self._draft.planned(BlockKey(cidr))
        fact = self._view.get(BlockKey(cidr))
        exists = cidr in self._names if fact is None else fact.exists
        taken = value is not None if is_planned else exists
        return not taken and self._has_room(cidr) and not overlapping(self._view, pool, cidr)

    @property
    def _names(self) -> Collection[IPNetwork]:
        return self._view.names.get(self._wanted.version, ())

    def _has_room(self, cidr: IPNetwork) -> bool:
        reserved = self._reserved(cidr)
        return not reserved or any(
            not any(ordinal in span for span in reserved) for ordinal in range(cidr.num_addresses)
        )

    def _reclaimed_block(self) -> Block | None:
        for cidr in self._listed_blocks():
            block = self._readable(cidr)
            if block is None or self._view.is_ours(block) or not blocks.is_empty(block):
                continue
            since = blocks.claimed_at(block)
            if (since is None or self._moment.at - since >= RECLAIM_AGE) and self._has_room(cidr):
                self._draft.rely(BlockKey(cidr))
                self._drop_affinity(block)
                return self._claim(cidr, after=block.sequence_number)
        return None

    def _drop_affinity(self, block: Block) -> None:
        """Take the empty block's present owner its affinity, if it has one."""
        affinity = block.affinity or ""
        virtual = affinity.startswith(VIRTUAL_PREFIX)
        owner = NodeName(affinity.partition(":")[2])
        if owner and "/" not in owner:
            self._draft.drop_affinity(AffinityKey(owner, block.cidr, virtual))

    def _from_borrowed(self) -> None:
        if not self._missing or self._view.config.strict_affinity:
            return
        for cidr in self._listed_blocks():
            block = self._readable(cidr)
            if block is not None:
                self._take_from(block)
            if not self._missing:
                return

    def _listed_blocks(self) -> Iterator[IPNetwork]:
        """Every existing block of the chosen pools, each pool from this node's start on."""
        listed = self._view.listed.get(self._wanted.version)
        if listed is None:
            raise MissingFacts(blocks_of_version=self._wanted.version)
        for pool in self._wanted.pools:
            start = self._view.start_at(self._view.node, pool)
            yield from pools_.in_order(pool, listed, start)

    def _readable(self, cidr: IPNetwork) -> Block | None:
        try:
            return self._draft.block(cidr)
        except Unreadable:
            return None

    def _claim(self, cidr: IPNetwork, after: int = 0) -> Block:
        return claim(self._draft, cidr, self._moment, after)

    def _reserved(self, cidr: IPNetwork) -> tuple[range, ...]:
        return blocks.reserved_ordinals(cidr, (*self._view.reservations, *self._view.in_use))

    def _take_from(self, block: Block) -> None:
        after, ordinals = blocks.assign_automatically(
            block, self._missing, self._wanted.holder, self._reserved(block.cidr)
        )
        if not ordinals:
            return
        self._draft.write_block(after)
        self._taken += [(blocks.address_at(block, ordinal), after) for ordinal in ordinals]


def claim(draft: Draft, cidr: IPNetwork, moment: Moment, after: int = 0) -> Block:
    """Plan a block of ours with its confirmed affinity; `after`: the sequence it must exceed."""
    key = draft.view.claim_on(cidr)
    draft.confirm_affinity(cidr)
    sequence = max(moment.sequence, after + 1)
    block = blocks.new_block(cidr, key.owner, moment.at, sequence)
    draft.write_block(block)
    return block
