"""What a refusal rests on: never on what this node merely remembers."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import HandleId
from felix_py.datastore.store import KeyValue, Listing
from ipam.errors import AddressTaken, NoQualifiedPool, PoolExhausted
from ipam.requests import AssignRequest
from tests.unit.ipam.cluster import Cluster, Machine, addresses


class CountingStore(MemoryStore):
    """Counts questions."""

    asked = 0

    def get_many(self, keys: Sequence[str]) -> tuple[dict[str, KeyValue | None], int]:
        self.asked += 1
        return super().get_many(keys)

    def list(
        self, prefix: str, *, revision: int = 0, keys_only: bool = False, limit: int = 0
    ) -> Listing:
        self.asked += 1
        return super().list(prefix, revision=revision, keys_only=keys_only, limit=limit)


def two_nodes(cidr: str = "10.0.0.0/30") -> tuple[Cluster, Machine, Machine]:
    made = Cluster(CountingStore())
    made.pool("v4", cidr, 30)
    made.pool("v6", "fd00::/126", 126)
    made.node("a")
    made.node("b")
    a, b = (Machine(made.store, name, start_at=lambda _, __: 0) for name in "ab")
    return made, a, b


def test_a_handle_that_another_node_gave_the_last_addresses_gets_them_here_too() -> None:
    _, a, b = two_nodes()
    a.assign("h")
    given = b.assign("h", families=(6,), count=4)
    assert addresses(a.assign("h", families=(6,), count=4)) == addresses(given)


def test_what_a_handle_got_elsewhere_is_found_though_its_pool_is_switched_off() -> None:
    made, a, b = two_nodes()
    a.assign("other")
    a.assign("h", families=(6,))
    b.assign("h", addresses=(ip_address("10.0.0.3"),))
    made.pool("v4", "10.0.0.0/30", 30, disabled=True)
    assert addresses(a.assign("h")) == ["10.0.0.3"]
    with pytest.raises(NoQualifiedPool):
        a.assign("another")


def test_an_address_of_our_block_that_another_node_gave_back_can_be_asked_for_by_name() -> None:
    _, a, b = two_nodes()
    a.assign("h0", count=2)
    b.release("h0")
    assert addresses(a.assign("h1", addresses=(ip_address("10.0.0.1"),))) == ["10.0.0.1"]
    with pytest.raises(AddressTaken):
        a.assign("h2", addresses=(ip_address("10.0.0.1"),))


def test_after_an_outage_blocks_are_listed_again_before_a_refusal() -> None:
    """The listing that the transaction without an answer was decided on is old by then."""
    made, a, b = two_nodes("10.0.0.0/29")
    b.assign("most", count=3)
    b.assign("one", addresses=(ip_address("10.0.0.3"),))
    b.assign("others", count=4)
    b.release("one")
    made.store.faults.lose_response_after_commit = 1
    a.sync()
    borrowed = a.submit(AssignRequest(HandleId("last"), {}))
    a.step()
    made.store.faults.away = True
    a.step()
    made.store.faults.away = False
    b.release("others")
    late = a.submit(AssignRequest(HandleId("late"), {}))
    a.settle_down(2)
    assert len(addresses(borrowed.wait(0))) == 1
    assert len(addresses(late.wait(0))) == 1


def test_a_reservation_that_nobody_told_of_yet_costs_one_lost_race() -> None:
    """The blocks to claim, nobody had read, are no news."""
    made, a, b = two_nodes("10.0.0.0/27")
    b.assign("h0")
    made.pool("v4", "10.0.0.0/27", 31)
    a.sync()
    made.reserve("late", "10.0.0.24/31")
    ticket = a.submit(AssignRequest(HandleId("h1"), {}, count=8))
    a.settle_down(2)
    assert len(addresses(ticket.wait(0))) == 8


def test_a_reservation_that_came_and_went_while_the_watch_was_broken_refuses_nothing() -> None:
    made, a, _ = two_nodes()
    a.sync()
    late = made.reserve("late", "10.0.0.0/30")
    ticket = a.submit(AssignRequest(HandleId("h1"), {}))
    a.settle_down(2)
    with pytest.raises(PoolExhausted):
        ticket.wait(0)
    made.store.delete(late.path)
    a.clock.advance(2)
    assert addresses(a.assign("h1")) == ["10.0.0.0"]


def test_a_pool_that_was_switched_on_a_moment_ago_refuses_nothing() -> None:
    made, a, _ = two_nodes()
    made.pool("v4", "10.0.0.0/30", 30, disabled=True)
    a.sync()
    made.pool("v4", "10.0.0.0/30", 30)
    ticket = a.submit(AssignRequest(HandleId("h1"), {}))
    a.step()
    assert addresses(ticket.wait(0)) == ["10.0.0.0"]


def test_a_handle_in_more_blocks_than_there_are_rounds_of_reading_is_found_and_freed() -> None:
    made, a, b = two_nodes()
    made.pool("tiny", "10.0.1.0/28", 32)
    given = b.assign("h", count=16, pools=("tiny",))
    assert set(addresses(a.assign("h", count=16))) == set(addresses(given))
    assert len(addresses(a.release("h"))) == 16
    assert made.handle("h") is None


def test_a_refusal_reads_what_it_rests_on_once_and_not_for_each_request() -> None:
    made, a, b = two_nodes()
    store = made.store
    assert isinstance(store, CountingStore)
    b.assign("full", count=4)
    a.sync()
    a.step()
    before = store.asked
    tickets = [a.submit(AssignRequest(HandleId(f"h{number}"), {})) for number in range(20)]
    a.step()
    for ticket in tickets:
        with pytest.raises(PoolExhausted):
            ticket.wait(0)
    assert store.asked - before == 3


def test_an_assignment_that_is_not_refused_reads_nothing_more_than_its_transaction() -> None:
    made, a, _ = two_nodes()
    store = made.store
    assert isinstance(store, CountingStore)
    a.assign("h0")
    a.sync()
    before = store.asked
    ticket = a.submit(AssignRequest(HandleId("h1"), {}))
    a.step()
    assert addresses(ticket.wait(0)) == ["10.0.0.1"]
    assert store.asked == before
