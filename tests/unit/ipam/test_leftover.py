"""A pool that came back with another block size: nothing is claimed over what its first life left."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from felix_py.datastore.model import PoolName
from felix_py.datastore.store import Listing
from ipam.admin import delete_pool
from ipam.errors import NotYours, PoolExhausted
from ipam.office import Office
from tests.unit.ipam.cluster import Cluster, Machine, addresses
from tests.unit.ipam.test_allocator import first


def reborn(before: int, after: int) -> tuple[Cluster, Machine]:
    """A pool with 10.0.0.0 in use, made again with another block size."""
    made = Cluster()
    made.pool("v4", "10.0.0.0/26", before)
    made.node("a")
    a = Machine(made.store, "a", start_at=first)
    assert addresses(a.assign("old")) == ["10.0.0.0"]
    a.assign("old2")
    delete_pool(Office(made.store), PoolName("v4"), lambda _: None)
    made.pool("v4", "10.0.0.0/26", after)
    return made, a


@pytest.mark.parametrize(("before", "after"), [(29, 30), (30, 29), (28, 32)])
def test_a_block_is_not_claimed_over_one_of_another_size(before: int, after: int) -> None:
    made, a = reborn(before, after)
    for number in range(12):
        a.assign(f"new{number}")
    claimed = [block.cidr for block in made.blocks().values()]
    assert len({cidr.prefixlen for cidr in claimed}) == 2
    assert not any(
        one.overlaps(other) for one in claimed for other in claimed if one is not other
    ), claimed


def test_a_restarted_allocator_knows_it_too() -> None:
    made, _ = reborn(29, 30)
    again = Machine(made.store, "a", start_at=first)
    assert addresses(again.assign("new")) == ["10.0.0.8"]


def test_an_address_by_name_is_not_given_a_second_time() -> None:
    _, a = reborn(29, 30)
    with pytest.raises(NotYours, match=r"10\.0\.0\.0/29"):
        a.assign("new", addresses=(ip_address("10.0.0.1"),))


def test_when_the_old_block_has_gone_its_addresses_are_given_again() -> None:
    _, a = reborn(29, 30)
    assert addresses(a.assign("new1")) == ["10.0.0.8"]
    a.release("old")
    a.release("old2")
    lease = a.assign("new2", addresses=(ip_address("10.0.0.1"),))
    assert addresses(lease) == ["10.0.0.1"]


def test_a_full_pool_is_not_listed_again_for_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Cluster()
    made.pool("v4", "10.0.0.0/28", 30)
    for name in "ab":
        made.node(name)
    a, b = Machine(made.store, "a", start_at=first), Machine(made.store, "b", start_at=first)
    for number in range(16):
        a.assign(f"h{number}")
    listings = []
    listed = made.store.list

    def counted(prefix: str, *, revision: int = 0) -> Listing:
        if prefix.startswith("/calico/ipam/v2/assignment"):
            listings.append(prefix)
        return listed(prefix, revision=revision)

    monkeypatch.setattr(made.store, "list", counted)
    for number in range(10):
        with pytest.raises(PoolExhausted):
            b.assign(f"more{number}")
    assert len(listings) == 1
    a.release("h3")
    b.clock.advance(2)
    assert addresses(b.assign("more")) == ["10.0.0.3"]
