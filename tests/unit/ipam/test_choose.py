"""Which block is claimed next, and what has to be read to know it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.store import Listing
from ipam.admin import release_host_affinities
from ipam.choose import PROBED_BLOCKS
from ipam.errors import PoolExhausted
from ipam.office import Office
from tests.unit.ipam.cluster import Cluster, Machine, addresses
from tests.unit.ipam.test_allocator import first

BLOCKS = "/calico/ipam/v2/assignment/"


class Watched(MemoryStore):
    """Notes which listings of blocks asked for their values."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_only: list[bool] = []

    def list(
        self, prefix: str, *, revision: int = 0, keys_only: bool = False, limit: int = 0
    ) -> Listing:
        if prefix.startswith(BLOCKS):
            self.keys_only.append(keys_only)
        return super().list(prefix, revision=revision, keys_only=keys_only, limit=limit)


def crowd(taken: int, cidr: str) -> tuple[Watched, Machine]:
    """A machine whose first blocks in the pool are another's."""
    store = Watched()
    made = Cluster(store)
    made.config(strict_affinity=True, auto_allocate_blocks=True, maxBlocksPerHost=1000)
    made.pool("v4", cidr, 29)
    made.node("a")
    made.node("b")
    other, mine = (Machine(store, name, start_at=first) for name in ("b", "a"))
    for number in range(taken):
        other.assign(f"b{number}", count=8)
    mine.sync()
    mine.settle_down(4)
    store.keys_only.clear()
    return store, mine


def handed_out(machine: Machine, handles: Sequence[str]) -> list[str]:
    return [address for handle in handles for address in addresses(machine.assign(handle))]


def test_past_the_probed_blocks_names_are_listed_and_no_values() -> None:
    store, mine = crowd(PROBED_BLOCKS + 8, "10.0.0.0/22")
    assert handed_out(mine, ["one", "two"]) == ["10.0.1.64", "10.0.1.65"]
    assert store.keys_only
    assert all(store.keys_only)


def test_values_are_listed_when_no_block_is_free_and_not_before() -> None:
    store, mine = crowd(PROBED_BLOCKS - 1, "10.0.0.0/24")
    assert handed_out(mine, [f"a{number}" for number in range(8)])[-1] == "10.0.0.255"
    assert all(store.keys_only)
    with pytest.raises(PoolExhausted):
        mine.assign("a8")
    assert not all(store.keys_only)


def test_a_block_that_an_administrator_took_from_the_node_is_claimed_again_at_once() -> None:
    store, mine = crowd(0, "10.0.0.0/28")
    mine.assign("one", count=16)
    mine.release("one")
    release_host_affinities(Office(store), mine.name)
    assert len(addresses(mine.assign("two", count=16))) == 16
