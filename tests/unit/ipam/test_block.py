"""A block's arithmetic against a naive model and against Calico's own captured values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from felix_py.datastore.model import Attribute, Block, HandleId
from ipam import block as blocks
from ipam.block import Give
from ipam.errors import AddressTaken, NotYours, StaleLease

AT = datetime(2026, 11, 21, 20, 56, 21, tzinfo=UTC)
CIDR = ip_network("10.244.0.72/29")


def fresh() -> Block:
    return blocks.new_block(CIDR, "host:worker-1", AT, 1000)


def held_by(name: str, **secondary: str) -> Attribute:
    return Attribute(HandleId(name), secondary)


def test_a_new_block_is_as_calico_writes_it() -> None:
    block = fresh()
    assert block.affinity_claim_time == "2026-11-21T20:56:21Z"
    assert block.unallocated == tuple(range(8))
    assert block.sequence_number == 1000
    assert blocks.is_empty(block)
    assert blocks.claimed_at(block) == AT


def test_two_assignments_and_a_release_give_calicos_golden_block() -> None:
    block, _ = blocks.assign_automatically(fresh(), 1, held_by("pod"))
    block = blocks.written(block)
    block, _ = blocks.assign_automatically(block, 1, held_by("tunnel", type="ipip"))
    block = blocks.written(block)
    assert block.allocations == (0, 1, None, None, None, None, None, None)
    assert block.sequence_for_allocation == {0: 1000, 1: 1001}
    block, freed = blocks.release_handle(block, HandleId("pod"))
    assert freed == (0,)
    assert block.allocations == (None, 0, None, None, None, None, None, None)
    assert block.unallocated == (2, 3, 4, 5, 6, 7, 0)
    assert block.attributes == (held_by("tunnel", type="ipip"),)
    assert block.sequence_for_allocation == {1: 1001}


def test_equal_holders_share_one_attribute() -> None:
    block, ordinals = blocks.assign_automatically(fresh(), 5, held_by("t.0"))
    block, _ = blocks.assign_automatically(block, 1, held_by("t.0"))
    assert ordinals == (0, 1, 2, 3, 4)
    assert block.attributes == (held_by("t.0"),)
    assert blocks.ordinals_of(block, HandleId("t.0")) == (0, 1, 2, 3, 4, 5)


def test_reserved_ordinals_keep_their_place_in_the_queue() -> None:
    reserved = blocks.reserved_ordinals(CIDR, [ip_network("10.244.0.72/31"), ip_network("::/0")])
    block, ordinals = blocks.assign_automatically(fresh(), 2, held_by("a"), reserved)
    assert ordinals == (2, 3)
    assert block.unallocated == (0, 1, 4, 5, 6, 7)


def test_a_reserved_address_may_be_asked_for_by_name() -> None:
    block = blocks.assign_ordinal(fresh(), 0, held_by("a"))
    assert blocks.addresses_of(block, HandleId("a")) == (IPv4Address("10.244.0.72"),)


def test_a_held_ordinal_is_refused_with_its_holders_name() -> None:
    block = blocks.assign_ordinal(fresh(), 4, held_by("a"))
    with pytest.raises(AddressTaken, match=r"10\.244\.0\.76 is held by handle 'a'"):
        blocks.assign_ordinal(block, 4, held_by("b"))
    pod = replace(held_by("a"), secondary={"namespace": "shop", "pod": "web-1"})
    block = blocks.assign_ordinal(fresh(), 4, pod)
    with pytest.raises(AddressTaken, match="is held by pod shop/web-1"):
        blocks.assign_ordinal(block, 4, held_by("b"))


def test_a_release_for_another_handle_or_an_old_lease_changes_nothing() -> None:
    block, _ = blocks.assign_automatically(fresh(), 2, held_by("a"))
    with pytest.raises(NotYours):
        blocks.release(block, [Give(0, HandleId("a")), Give(1, HandleId("b"))])
    with pytest.raises(StaleLease):
        blocks.release(block, [Give(0, HandleId("a"), 999)])
    _, freed = blocks.release(block, [Give(0, HandleId("a"), 1000), Give(5)])
    assert freed == (0,)


def test_an_allocation_without_a_sequence_counts_as_sequence_zero() -> None:
    block, _ = blocks.assign_automatically(fresh(), 1, held_by("a"))
    _, freed = blocks.release(replace(block, sequence_for_allocation={}), [Give(0, sequence=0)])
    assert freed == (0,)


def test_a_windows_hosts_own_addresses_do_not_make_a_block_used() -> None:
    block = fresh()
    for ordinal in (0, 1, 2, 7):
        block = blocks.assign_ordinal(block, ordinal, Attribute(blocks.WINDOWS_RESERVED))
    assert blocks.is_empty(block)
    assert not blocks.is_empty(blocks.assign_ordinal(block, 3, held_by("a")))


def test_released_affinity_takes_the_claim_time_along() -> None:
    block = blocks.release_affinity(fresh())
    assert (block.affinity, block.affinity_claim_time) == (None, None)
    assert blocks.claimed_at(block) is None


@pytest.mark.parametrize(
    ("address", "size", "block"),
    [
        ("10.244.0.100", 29, "10.244.0.96/29"),
        ("fd00:10:244::85c1", 122, "fd00:10:244::85c0/122"),
        ("0.0.0.7", 29, "0.0.0.0/29"),
    ],
)
def test_an_address_lies_in_the_block_of_its_mask(address: str, size: int, block: str) -> None:
    assert blocks.block_of(ip_address(address), size) == ip_network(block)


def test_ipv6_ordinals_count_from_the_blocks_first_address() -> None:
    block = blocks.new_block(ip_network("fd00::40/122"), "host:a", AT, 1)
    assert blocks.ordinal_of(block, IPv6Address("fd00::7f")) == 63
    assert blocks.address_at(block, 63) == IPv6Address("fd00::7f")


HANDLES = st.sampled_from(["a", "b", "c"])
ORDINALS = st.integers(0, 7)


class AgainstNaiveModel(RuleBasedStateMachine):
    """Random assignments and releases: the block always says what a plain dict says."""

    def __init__(self) -> None:
        super().__init__()
        self.block = fresh()
        self.held: dict[int, tuple[str, int]] = {}
        self.queue = list(range(8))

    def _write(self) -> None:
        self.block = blocks.written(self.block)

    @rule(handle=HANDLES, count=st.integers(0, 9), low=ORDINALS)
    def assign(self, handle: str, count: int, low: int) -> None:
        reserved = (range(low, low + 2),)
        wanted = [o for o in self.queue if o not in reserved[0]][:count]
        self.block, got = blocks.assign_automatically(self.block, count, held_by(handle), reserved)
        assert list(got) == wanted
        self._note(got, handle)

    @rule(handle=HANDLES, ordinal=ORDINALS)
    def assign_given(self, handle: str, ordinal: int) -> None:
        if ordinal in self.held:
            with pytest.raises(AddressTaken):
                blocks.assign_ordinal(self.block, ordinal, held_by(handle))
            return
        self.block = blocks.assign_ordinal(self.block, ordinal, held_by(handle))
        self._note((ordinal,), handle)

    @rule(handle=HANDLES)
    def release_handle(self, handle: str) -> None:
        self.block, freed = blocks.release_handle(self.block, HandleId(handle))
        assert list(freed) == [o for o in range(8) if self.held.get(o, ("", 0))[0] == handle]
        self._forget(freed)

    @rule(ordinal=ORDINALS)
    def release_one(self, ordinal: int) -> None:
        handle, sequence = self.held.get(ordinal, ("a", 0))
        self.block, freed = blocks.release(self.block, [Give(ordinal, HandleId(handle), sequence)])
        assert freed == ((ordinal,) if ordinal in self.held else ())
        self._forget(freed)

    def _note(self, ordinals: tuple[int, ...], handle: str) -> None:
        for ordinal in ordinals:
            self.held[ordinal] = (handle, self.block.sequence_number)
            self.queue.remove(ordinal)
        self._write()

    def _forget(self, ordinals: tuple[int, ...]) -> None:
        for ordinal in ordinals:
            del self.held[ordinal]
            self.queue.append(ordinal)
        self._write()

    @invariant()
    def the_block_says_what_the_model_says(self) -> None:
        block = self.block
        assert list(block.unallocated) == self.queue
        free = {o for o, index in enumerate(block.allocations) if index is None}
        assert set(self.queue) == free
        for ordinal, (handle, sequence) in self.held.items():
            holder = blocks.holder_of(block, ordinal)
            assert holder is not None
            assert holder.handle_id == handle
            assert block.sequence_for_allocation[ordinal] == sequence
        assert set(block.sequence_for_allocation) == set(self.held)
        used = {index for index in block.allocations if index is not None}
        assert used == set(range(len(block.attributes)))
        assert blocks.is_empty(block) == (not self.held)


TestAgainstNaiveModel = AgainstNaiveModel.TestCase
TestAgainstNaiveModel.settings = settings(stateful_step_count=25)
