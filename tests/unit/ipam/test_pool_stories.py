"""Pools that come, change and go, held against a naive model: sets of addresses and plain ifs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AssignmentMode,
    IPNetwork,
    IPPool,
    Kind,
    Metadata,
    Node,
    NodeName,
    PoolUse,
)
from ipam import pool as pools
from ipam.errors import NoQualifiedPool
from ipam.leftover import overlapping
from ipam.pool import Ask
from ipam.seen import Seen
from ipam.view import View

CIDRS: tuple[IPNetwork, ...] = (
    *(ip_network(f"10.0.0.{16 * slot}/28") for slot in range(2)),
    ip_network("fd00::/124"),
)
SLOTS = st.integers(0, len(CIDRS) - 1)
SELECTORS = {"": True, "all()": True, "rack == 'r1'": True, "rack == 'r2'": False, "rack ==": False}
"""A nodeSelector to whether it selects NODE."""
NODE = Node(Metadata("a", labels={"rack": "r1"}))
USES = st.sets(st.sampled_from([PoolUse.WORKLOAD, PoolUse.TUNNEL]), min_size=1).map(frozenset)


def inside(cidr: IPNetwork) -> set[str]:
    """All its addresses."""
    return {str(address) for address in cidr}


@dataclass
class Plain:
    """A pool in the model."""

    pool: IPPool
    selects: bool
    blocks: list[set[str]] = field(default_factory=list)
    """The addresses of each of its blocks, in their order."""

    def __post_init__(self) -> None:
        everything = [str(address) for address in self.pool.cidr]
        size = 1 << (self.pool.cidr.max_prefixlen - self.pool.block_size)
        self.blocks = [{*everything[at : at + size]} for at in range(0, 16, size)]

    @property
    def gives(self) -> bool:
        """Whether it gives out addresses at all."""
        return not self.pool.disabled


class PoolStories(RuleBasedStateMachine):
    """Pools by slot, the blocks there are, and what is reserved."""

    def __init__(self) -> None:
        super().__init__()
        self.plain: dict[int, Plain] = {}
        self.existing: set[IPNetwork] = set()
        self.reserved: list[IPNetwork] = []
        self.view = View(NodeName("a"))
        self.revision = 0
        self._note_names()

    @rule(
        slot=SLOTS,
        bits=st.integers(0, 4),
        selector=st.sampled_from(sorted(SELECTORS)),
        uses=USES,
        mode=st.sampled_from(AssignmentMode),
    )
    def make(
        self, slot: int, bits: int, selector: str, uses: frozenset[PoolUse], mode: AssignmentMode
    ) -> None:
        """A pool, or another one in its place with blocks of another size."""
        cidr = CIDRS[slot]
        pool = IPPool(
            Metadata(f"pool-{slot}"),
            cidr,
            cidr.prefixlen + bits,
            node_selector=selector,
            allowed_uses=uses,
            assignment_mode=mode,
        )
        self._put(slot, Plain(pool, SELECTORS[selector]))

    @rule(slot=SLOTS)
    def delete(self, slot: int) -> None:
        """Its blocks stay."""
        if self.plain.pop(slot, None):
            self.view.forget([ResourceKey(Kind.IP_POOL, f"pool-{slot}")])

    @rule(slot=SLOTS)
    def switch(self, slot: int) -> None:
        """On or off."""
        if (old := self.plain.get(slot)) is not None:
            self._put(slot, Plain(replace(old.pool, disabled=old.gives), old.selects))

    @rule(slot=SLOTS, number=st.integers(0, 15))
    def claim(self, slot: int, number: int) -> None:
        """A block of the pool as it is now comes to be, or goes."""
        if (plain := self.plain.get(slot)) is not None:
            self.existing ^= {pools.block_at(plain.pool, number % len(plain.blocks))}
            self._note_names()

    @rule(slot=SLOTS, bits=st.integers(-2, 4), number=st.integers(0, 15))
    def reserve(self, slot: int, bits: int, number: int) -> None:
        """Some more, up to three stretches, some longer than a pool."""
        cidr = CIDRS[slot].supernet(max(0, -bits))
        stretches: list[IPNetwork] = [*cidr.subnets(max(0, bits))]
        self.reserved = [*self.reserved[-2:], stretches[number % len(stretches)]]

    @invariant()
    def those_that_serve_are_those_that_no_filter_takes_away(self) -> None:
        for version in (4, 6):
            for use in (PoolUse.WORKLOAD, PoolUse.TUNNEL):
                expected = [
                    plain.pool.name
                    for _, plain in sorted(self.plain.items())
                    if plain.gives
                    and plain.selects
                    and plain.pool.cidr.version == version
                    and use in plain.pool.allowed_uses
                    and plain.pool.assignment_mode is AssignmentMode.AUTOMATIC
                ]
                assert self._qualifying(Ask(version, NODE, use)) == expected

    @invariant()
    def an_address_lies_in_the_pool_that_has_it(self) -> None:
        known = [plain.pool for plain in self.plain.values()]
        for slot, cidr in enumerate(CIDRS):
            for address in (cidr.network_address, cidr.broadcast_address):
                plain = self.plain.get(slot)
                even_so = pools.containing(address, known, even_disabled=True)
                assert even_so == (plain.pool if plain else None)
                given = pools.containing(address, known)
                assert given == (plain.pool if plain and plain.gives else None)
        assert pools.containing(ip_address("10.0.1.0"), known, even_disabled=True) is None

    @invariant()
    def blocks_are_tried_each_once_without_what_one_stretch_reserves(self) -> None:
        for slot, plain in self.plain.items():
            start = slot % len(plain.blocks)
            expected = [
                block
                for block in plain.blocks[start:] + plain.blocks[:start]
                if not any(block <= inside(stretch) for stretch in self.reserved)
            ]
            walked = list(pools.candidates(plain.pool, start, self.reserved))
            assert [inside(cidr) for cidr in walked] == expected

    @invariant()
    def the_blocks_there_are_come_in_the_same_order(self) -> None:
        known = sorted(self.existing, key=str)
        for slot, plain in self.plain.items():
            start = slot % len(plain.blocks)
            expected = [
                block
                for block in plain.blocks[start:] + plain.blocks[:start]
                if any(inside(cidr) == block for cidr in known)
            ]
            found = pools.in_order(plain.pool, known, start)
            assert [inside(cidr) for cidr in found] == expected

    @invariant()
    def a_block_of_another_size_is_found_by_any_address_that_it_shares(self) -> None:
        for plain in self.plain.values():
            for number, block in enumerate(plain.blocks):
                odd = any(
                    inside(cidr) & block and cidr.prefixlen != plain.pool.block_size
                    for cidr in self.existing
                )
                cidr = pools.block_at(plain.pool, number)
                found = overlapping(self.view, plain.pool, cidr)
                assert (found is not None) == odd
                assert found is None or inside(found) & block

    def _note_names(self) -> None:
        for version in (4, 6):
            known = [cidr for cidr in self.existing if cidr.version == version]
            self.view.note_names(version, tuple(known))

    def _put(self, slot: int, plain: Plain) -> None:
        self.plain[slot] = plain
        self.revision += 1
        fact = Seen(plain.pool, b"", self.revision, self.revision, self.revision)
        self.view.learn(ResourceKey(Kind.IP_POOL, plain.pool.name), fact)

    def _qualifying(self, ask: Ask) -> list[str]:
        try:
            return [pool.name for pool in pools.qualifying(self.view.pools, ask)]
        except NoQualifiedPool:
            return []


TestPools = PoolStories.TestCase
TestPools.settings = settings(max_examples=100, stateful_step_count=30)
