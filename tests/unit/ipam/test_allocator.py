"""The allocator on a store in memory: what is given out, what is given back, what survives faults."""

from __future__ import annotations

import json
import threading
from ipaddress import ip_address, ip_network

import pytest

from felix_py.datastore import codec
from felix_py.datastore.errors import StoreAway, StoreWentBack
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, IPAddress, IPPool, Kind, NodeName
from felix_py.datastore.store import KeyValue
from ipam import block as blocks
from ipam.census import OTHERS_SECONDS
from ipam.errors import (
    AddressTaken,
    BadRequest,
    BlockLimitReached,
    Frozen,
    GaveUp,
    NoQualifiedPool,
    NotInPool,
    NotYours,
    PoolExhausted,
)
from ipam.requests import AssignRequest, EndpointDraft, Lease, ReleaseRequest
from ipam.view import View
from tests.unit.ipam.cluster import Cluster, Machine, SimpleFence, addresses

ENDPOINT = ResourceKey(Kind.WORKLOAD_ENDPOINT, "a-k8s-pod-eth0", "default")


def first(node: NodeName, pool: IPPool) -> int:
    return 0


def cluster(*, block_size: int = 29, cidr: str = "10.0.0.0/24") -> Cluster:
    made = Cluster()
    made.pool("v4", cidr, block_size)
    made.pool("v6", "fd00::/112", 122)
    made.node("a", rack="r1")
    made.node("b", rack="r2")
    return made


def machine(made: Cluster, name: str = "a") -> Machine:
    return Machine(made.store, name, start_at=first)


def endpoint_for(container: str) -> EndpointDraft:
    def render(given: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        spec = {
            "orchestrator": "k8s",
            "node": "a",
            "pod": "pod",
            "endpoint": "eth0",
            "containerID": container,
            "interfaceName": "cali1",
            "ipNetworks": [f"{address}/{address.max_prefixlen}" for address in given],
            "profiles": ["kept" if stored else "new"],
        }
        return codec.render_new(ENDPOINT, spec, uid="u", created_at="2026-01-01T00:00:00Z")

    return EndpointDraft(ENDPOINT, render)


def test_the_first_address_claims_a_block_in_one_transaction() -> None:
    made = cluster()
    a = machine(made)
    a.sync()
    a.settle_down(1)
    before = made.store.revision
    lease = a.assign("h1", endpoint=endpoint_for("c1"))
    assert addresses(lease) == ["10.0.0.0"]
    assert (made.store.revision, lease.revision, lease.fresh) == (before + 1, before + 1, True)
    block = made.blocks()["10.0.0.0/29"]
    assert block.affinity == "host:a"
    assert block.sequence_for_allocation == {0: block.sequence_number - 1}
    assert made.affinities() == {"a/ipv4/block/10.0.0.0-29": "confirmed"}
    handle = made.handle("h1")
    assert handle is not None
    assert handle.blocks == {ip_network("10.0.0.0/29"): 1}
    stored = made.store.get(ENDPOINT.path)
    assert stored is not None
    assert json.loads(stored.value)["spec"]["ipNetworks"] == ["10.0.0.0/32"]


def test_many_requests_fold_into_few_transactions() -> None:
    made = cluster(block_size=26)
    a = machine(made)
    a.sync()
    tickets = [a.submit(AssignRequest(HandleId(f"h{i}"), {})) for i in range(64)]
    a.settle_down(4)
    leases = [ticket.wait(0) for ticket in tickets]
    assert a.commits <= 2
    given = {addresses(lease)[0] for lease in leases}
    assert len(given) == 64


def test_both_families_come_together_or_not_at_all() -> None:
    made = cluster()
    a = machine(made)
    assert addresses(a.assign("h1", families=(4, 6))) == ["10.0.0.0", "fd00::"]
    made.store.delete("/calico/resources/v3/projectcalico.org/ippools/v6")
    with pytest.raises(NoQualifiedPool, match="IPv6"):
        a.assign("h2", families=(4, 6))
    assert made.handle("h2") is None
    assert len(blocks.ordinals_of(made.blocks()["10.0.0.0/29"], HandleId("h2"))) == 0


def test_pools_named_for_one_family_leave_the_other_to_its_selectors() -> None:
    a = machine(cluster())
    lease = a.assign("h1", families=(4, 6), family_pools={4: ("v4",)})
    assert addresses(lease) == ["10.0.0.0", "fd00::"]
    with pytest.raises(NoQualifiedPool, match="nowhere"):
        a.assign("h2", families=(4, 6), family_pools={6: ("nowhere",)})


def test_an_address_past_ipam_is_in_the_endpoint_alone() -> None:
    made = cluster()
    a = machine(made)
    outside = (ip_address("203.0.113.9"),)
    lease = a.assign("h1", addresses=outside, outside=True, endpoint=endpoint_for("c1"))
    assert (addresses(lease), lease.fresh) == (["203.0.113.9"], True)
    assert made.handle("h1") is None
    assert made.blocks() == {}
    stored = made.store.get(ENDPOINT.path)
    assert stored is not None
    assert json.loads(stored.value)["spec"]["ipNetworks"] == ["203.0.113.9/32"]
    inside = (ip_address("10.0.0.1"),)
    with pytest.raises(NotYours, match="lies in pool v4"):
        a.assign("h2", addresses=inside, outside=True, endpoint=endpoint_for("c2"))
    a.release("h1", container_id="c1", endpoint_key=ENDPOINT)
    assert made.store.get(ENDPOINT.path) is None


def test_one_refusal_does_not_disturb_the_others_of_its_batch() -> None:
    made = cluster()
    a = machine(made)
    a.sync()
    good = a.submit(AssignRequest(HandleId("good"), {}))
    bad = a.submit(AssignRequest(HandleId("bad"), {}, pools=("nowhere",)))
    worse = a.submit(AssignRequest(HandleId("a/b"), {}))

    def explode(given: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        raise ValueError("no such thing")

    broken = a.submit(
        AssignRequest(HandleId("broken"), {}, endpoint=EndpointDraft(ENDPOINT, explode))
    )
    last = a.submit(AssignRequest(HandleId("last"), {}))
    a.settle_down(2)
    assert addresses(good.wait(0)) == ["10.0.0.0"]
    assert addresses(last.wait(0)) == ["10.0.0.1"]
    with pytest.raises(NoQualifiedPool, match="nowhere"):
        bad.wait(0)
    with pytest.raises(BadRequest):
        worse.wait(0)
    with pytest.raises(BadRequest, match="no such thing"):
        broken.wait(0)


def test_the_same_handle_again_gets_the_same_lease() -> None:
    made = cluster()
    a = machine(made)
    once = a.assign("h1", families=(4, 6), endpoint=endpoint_for("c1"))
    again = a.assign("h1", families=(4, 6), endpoint=endpoint_for("c1"))
    assert addresses(again) == addresses(once)
    assert not again.fresh
    restarted = machine(made)
    assert addresses(restarted.assign("h1", families=(4, 6))) == addresses(once)


def test_a_borrowed_lease_is_found_again_after_a_restart_and_freed_with_its_handle() -> None:
    made = cluster(cidr="10.0.0.0/29")
    b = machine(made, "b")
    b.assign("full", count=7)
    a = machine(made)
    lease = a.assign("h1")
    assert lease.addresses[0].borrowed_from == "b"
    again = machine(made).assign("h1")
    assert (again.addresses, again.fresh) == (lease.addresses, False)
    released = machine(made).release("h1")
    assert addresses(released) == addresses(lease)
    assert made.handle("h1") is None
    assert made.affinities() == {"b/ipv4/block/10.0.0.0-29": "confirmed"}


def test_a_leftover_of_one_family_is_used_when_both_are_asked_for() -> None:
    made = cluster()
    a = machine(made)
    once = a.assign("h1")
    both = a.assign("h1", families=(4, 6))
    assert addresses(both) == [addresses(once)[0], "fd00::"]
    assert len(addresses(a.release("h1"))) == 2


def test_strict_affinity_does_not_borrow() -> None:
    made = cluster(cidr="10.0.0.0/29")
    made.config(strict_affinity=True, auto_allocate_blocks=True)
    machine(made, "b").assign("h")
    with pytest.raises(PoolExhausted, match=r"10\.0\.0\.0/29"):
        machine(made).assign("h1")
    with pytest.raises(NotYours):
        machine(made).assign("h2", addresses=(ip_address("10.0.0.5"),))
    assert made.handle("h1") is None


def test_the_block_limit_gives_nothing_and_does_not_borrow() -> None:
    made = cluster()
    made.config(strict_affinity=True, auto_allocate_blocks=True, maxBlocksPerHost=1)
    a = machine(made)
    with pytest.raises(BlockLimitReached, match="maxBlocksPerHost"):
        a.assign("h1", count=9)
    assert made.blocks() == {}
    assert len(addresses(a.assign("h2", count=8))) == 8
    with pytest.raises(BlockLimitReached):
        a.assign("h3")


def test_without_auto_allocation_no_block_is_claimed() -> None:
    made = cluster()
    made.config(strict_affinity=True)
    with pytest.raises(PoolExhausted, match="auto_allocate_blocks"):
        machine(made).assign("h1")


def test_reserved_addresses_are_passed_over_unless_they_are_asked_for() -> None:
    made = cluster()
    made.reserve("low", "10.0.0.0/28", "10.0.0.17")
    a = machine(made)
    assert addresses(a.assign("h1", count=2)) == ["10.0.0.16", "10.0.0.18"]
    assert addresses(a.assign("h2", addresses=(ip_address("10.0.0.17"),))) == ["10.0.0.17"]


def test_a_reservation_made_a_moment_ago_is_seen() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h1")
    made.reserve("fresh", "10.0.0.1")
    ticket = a.submit(AssignRequest(HandleId("h2"), {}))
    a.settle_down(3)
    assert addresses(ticket.wait(0)) == ["10.0.0.2"]


@pytest.mark.parametrize("what", ["config", "pool", "node", "cluster", "affinity", "block"])
def test_whatever_was_decided_on_is_compared(what: str) -> None:
    made = cluster()
    a = machine(made)
    a.assign("h1")
    before = a.commits
    if what == "config":
        made.config(strict_affinity=False, auto_allocate_blocks=True)
    elif what == "pool":
        made.pool("v4", "10.0.0.0/24", 29, disabled=True)
    elif what == "node":
        made.store.delete(ResourceKey(Kind.NODE, "a").path)
        made.node("a")
    elif what == "cluster":
        spec = {"clusterGUID": "b" * 32, "datastoreReady": False}
        made.resource(Kind.CLUSTER_INFORMATION, "default", spec)
    else:
        prefix = "host/a/ipv4" if what == "affinity" else "assignment/ipv4"
        key = f"/calico/ipam/v2/{prefix}/block/10.0.0.0-29"
        stored = made.store.get(key)
        assert stored is not None
        made.store.put(key, stored.value)
    ticket = a.submit(AssignRequest(HandleId("h2"), {}))
    a.step()
    assert a.commits == before
    a.settle_down(3)
    if what in ("pool", "cluster"):
        with pytest.raises((NoQualifiedPool, Frozen)):
            ticket.wait(0)
    else:
        assert addresses(ticket.wait(0)) == ["10.0.0.1"]


def test_an_address_given_by_name_claims_its_block_or_borrows() -> None:
    made = cluster()
    a, b = machine(made), machine(made, "b")
    assert addresses(b.assign("h1", addresses=(ip_address("10.0.0.100"),))) == ["10.0.0.100"]
    borrowed = a.assign("h2", addresses=(ip_address("10.0.0.101"),))
    assert borrowed.addresses[0].borrowed_from == "b"
    with pytest.raises(AddressTaken):
        a.assign("h3", addresses=(ip_address("10.0.0.100"),))
    with pytest.raises(NotInPool):
        a.assign("h3", addresses=(ip_address("10.9.0.1"),))
    assert not b.assign("h1", addresses=(ip_address("10.0.0.100"),)).fresh


def test_another_nodes_empty_block_is_reclaimed_after_a_minute() -> None:
    made = cluster(cidr="10.0.0.0/29")
    b = machine(made, "b")
    b.assign("h1")
    b.release("h1")
    a = machine(made)
    assert a.assign("h2").addresses[0].borrowed_from == "b"
    a.release("h2")
    a.clock.advance(61)
    assert a.assign("h3").addresses[0].borrowed_from is None
    assert made.affinities() == {"a/ipv4/block/10.0.0.0-29": "confirmed"}
    b.sync()
    b.settle_down(2)
    assert b.assign("h4").addresses[0].borrowed_from == "a"


def test_a_release_ends_the_endpoint_of_its_own_container_only() -> None:
    made = cluster()
    a = machine(made)
    a.assign("old", endpoint=endpoint_for("c-old"))
    a.assign("new", endpoint=endpoint_for("c-new"))
    late = a.release("old", container_id="c-old", endpoint_key=ENDPOINT)
    assert (addresses(late), late.endpoint_deleted) == (["10.0.0.0"], False)
    assert made.store.get(ENDPOINT.path) is not None
    restarted = machine(made)
    done = restarted.release("new", container_id="c-new", endpoint_key=ENDPOINT)
    assert (addresses(done), done.endpoint_deleted) == (["10.0.0.1"], True)
    assert made.store.get(ENDPOINT.path) is None
    nothing = restarted.release("new", container_id="c-new", endpoint_key=ENDPOINT)
    assert (nothing.addresses, nothing.endpoint_deleted) == ((), False)


def test_a_replaced_container_in_one_batch_keeps_the_new_endpoint() -> None:
    made = cluster()
    a = machine(made)
    a.assign("old", endpoint=endpoint_for("c-old"))
    gone = a.submit(ReleaseRequest(HandleId("old"), "c-old", ENDPOINT))
    come = a.submit(AssignRequest(HandleId("new"), {}, endpoint=endpoint_for("c-new")))
    a.settle_down(2)
    assert addresses(gone.wait(0)) == ["10.0.0.0"]
    assert addresses(come.wait(0)) == ["10.0.0.1"]
    stored = made.store.get(ENDPOINT.path)
    assert stored is not None
    assert json.loads(stored.value)["spec"]["containerID"] == "c-new"


def test_a_node_without_its_object_is_named() -> None:
    made = cluster()
    with pytest.raises(NoQualifiedPool, match=r"nodes/stranger"):
        machine(made, "stranger").assign("h1")


def test_frozen_gives_nothing_out() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h1")
    a.sync(frozen="the store went back")
    ticket = a.submit(AssignRequest(HandleId("h2"), {}))
    a.step()
    with pytest.raises(Frozen, match="went back"):
        ticket.wait(0)
    a.sync()
    a.step()
    a.clock.advance(OTHERS_SECONDS)
    assert addresses(a.assign("h2")) == ["10.0.0.1"]


def test_nothing_is_given_out_before_the_store_is_read() -> None:
    a = machine(cluster())
    ticket = a.submit(AssignRequest(HandleId("h1"), {}))
    a.step()
    with pytest.raises(Frozen):
        ticket.wait(0)


def test_a_lost_answer_is_settled_before_it_is_given() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h0")
    made.store.faults.lose_response_after_commit = 1
    lease = a.assign("h1")
    assert addresses(lease) == ["10.0.0.1"]
    made.store.faults.lose_request = 1
    assert addresses(a.assign("h2")) == ["10.0.0.2"]
    assert made.blocks()["10.0.0.0/29"].unallocated == (3, 4, 5, 6, 7)


def test_while_a_commit_is_unsettled_others_hear_that_the_store_is_away() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h0")
    made.store.faults.lose_response_after_commit = 1
    first_ticket = a.submit(AssignRequest(HandleId("h1"), {}))
    a.step()
    made.store.faults.away = True
    second = a.submit(AssignRequest(HandleId("h2"), {}))
    a.step()
    with pytest.raises(StoreAway):
        second.wait(0)
    made.store.faults.away = False
    a.settle_down(2)
    assert addresses(first_ticket.wait(0)) == ["10.0.0.1"]


def test_a_lease_whose_caller_has_gone_is_given_back() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h0")
    made.store.faults.lose_response_after_commit = 1
    ticket = a.submit(AssignRequest(HandleId("h1"), {}, endpoint=endpoint_for("c1")))
    a.step()
    with pytest.raises(GaveUp):
        ticket.wait(0)
    a.settle_down(4)
    assert made.handle("h1") is None
    assert made.store.get(ENDPOINT.path) is None
    assert 1 in made.blocks()["10.0.0.0/29"].unallocated


def test_two_machines_racing_for_one_address_get_one_each_or_an_answer() -> None:
    made = cluster(cidr="10.0.0.0/29")
    a, b = machine(made), machine(made, "b")
    a.sync()
    b.sync()
    tickets = [
        (m, m.submit(AssignRequest(HandleId(f"{m.name}{i}"), {}))) for i in range(6) for m in (a, b)
    ]
    for _ in range(12):
        a.step()
        b.step()
    given: list[str] = []
    exhausted = 0
    for _, ticket in tickets:
        try:
            given += addresses(ticket.wait(0))
        except PoolExhausted:
            exhausted += 1
    assert (len(set(given)), len(given), exhausted) == (8, 8, 4)


def test_a_full_block_is_looked_at_again_before_another_is_claimed() -> None:
    made = cluster()
    a, b = machine(made), machine(made, "b")
    a.assign("mine", count=7)
    b.assign("theirs", addresses=(ip_address("10.0.0.7"),))
    assert a.assign("x", count=8).addresses[0].block == ip_network("10.0.0.8/29")
    b.release("theirs")
    assert addresses(a.assign("y", pools=("v4",))) == ["10.0.0.7"]


def test_an_invalid_block_is_neither_used_nor_overwritten() -> None:
    made = cluster()
    made.store.put("/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-29", b"not json")
    a = machine(made)
    assert addresses(a.assign("h1")) == ["10.0.0.8"]
    with pytest.raises(NotYours, match="cannot be read"):
        a.assign("h2", addresses=(ip_address("10.0.0.1"),))


def test_an_empty_block_whose_pool_left_the_node_is_released() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h1")
    made.pool("v4", "10.0.0.0/24", 29, nodeSelector="rack == 'r2'")
    assert addresses(a.release("h1")) == ["10.0.0.0"]
    assert made.blocks() == {}
    assert made.affinities() == {}


def test_a_lease_says_which_request_it_answers() -> None:
    lease = machine(cluster()).assign("h1")
    assert isinstance(lease, Lease)
    assert lease.handle_id == "h1"


def test_a_fence_that_finds_an_older_store_freezes_and_is_opened_anew_after_the_thaw() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h1")

    assert isinstance(a.fence, SimpleFence)
    a.fence.error = StoreWentBack("session at revision 3, was at 9")
    with pytest.raises(Frozen, match="was at 9"):
        a.assign("h2")
    a.sync(frozen="went back")
    a.clock.advance(60)
    a.step()
    a.sync()
    a.step()
    a.clock.advance(6)
    a.step()
    assert addresses(a.assign("h2")) == ["10.0.0.1"]


def test_a_fence_that_alone_finds_an_older_store_asks_for_a_new_start() -> None:
    made = cluster()
    a = machine(made)
    a.assign("h1")
    assert isinstance(a.fence, SimpleFence)
    a.fence.error = StoreWentBack("session at revision 3, was at 9")
    with pytest.raises(Frozen, match="was at 9"):
        a.assign("h2")
    a.clock.advance(6)
    with pytest.raises(StoreWentBack):
        a.step()


def test_after_the_thread_ends_everybody_is_told() -> None:
    made = cluster()
    a = machine(made)
    a.submit(AssignRequest(HandleId("h1"), {}))
    ticket = a.submit(AssignRequest(HandleId("h2"), {}))
    stop = threading.Event()
    stop.set()
    a.allocator.run(stop)
    with pytest.raises(GaveUp, match="stopped"):
        ticket.wait(0)
    with pytest.raises(GaveUp, match="stopped"):
        a.allocator.assign(AssignRequest(HandleId("h3"), {}), 1)


def test_a_thread_answers_callers_on_other_threads() -> None:
    made = cluster()
    a = machine(made)
    a.sync()
    stop = threading.Event()
    owner = threading.Thread(target=a.allocator.run, args=(stop,))
    owner.start()
    try:
        lease = a.allocator.assign(AssignRequest(HandleId("h1"), {}), 5)
        released = a.allocator.release(ReleaseRequest(HandleId("h1")), 5)
    finally:
        stop.set()
        owner.join(5)
    assert addresses(lease) == addresses(released) == ["10.0.0.0"]
    assert a.allocator.status()["assigned"] == 1


def test_the_status_is_no_work_on_the_owners_view(monkeypatch: pytest.MonkeyPatch) -> None:
    a = machine(cluster())
    a.assign("h1")

    def touched(_: View) -> None:
        raise AssertionError("another thread looks at what the allocator's thread changes")

    monkeypatch.setattr(View, "affinities", property(touched))
    assert a.allocator.status()["blocks"] == ["10.0.0.0/29"]
    assert a.allocator.status()["assigned"] == 1


def test_requests_too_long_for_one_transaction_are_parted() -> None:
    made = cluster()
    a = machine(made)
    a.sync()
    tickets = []
    for number in range(4):
        key = ResourceKey(Kind.WORKLOAD_ENDPOINT, f"a-cni-c{number}-eth0", "default")
        draft = EndpointDraft(key, lambda _given, _stored: b"x" * 600_000)
        tickets.append(
            a.submit(AssignRequest(HandleId(f"h{number}"), {"node": "a"}, endpoint=draft))
        )
    a.step()
    before = a.commits
    a.settle_down(6)
    assert a.commits == before + 3
    assert len({addresses(ticket.wait(0))[0] for ticket in tickets}) == 4


def test_what_lives_here_cannot_be_listed_now_and_is_asked_again() -> None:
    made = cluster()
    failing = [True]

    def living() -> list[AssignRequest]:
        if failing[0]:
            raise GaveUp("the kernel's list was torn")
        return []

    a = Machine(made.store, "a", start_at=first, living=living)
    a.sync()
    ticket = a.submit(AssignRequest(HandleId("h1"), {"node": "a"}))
    a.step()
    with pytest.raises(GaveUp):
        ticket.wait(0)
    failing[0] = False
    assert addresses(a.assign("h1")) == ["10.0.0.0"]


def test_what_another_node_gave_a_handle_in_our_block_is_counted_and_released() -> None:
    made = cluster()
    a, b = machine(made), machine(made, "b")
    a.assign("h1")
    b.assign("h2", addresses=(ip_address("10.0.0.1"),))
    b.assign("h1", addresses=(ip_address("10.0.0.2"),))
    a.assign("h1", families=(6,))
    handle = made.handle("h1")
    assert handle is not None
    assert handle.blocks == {ip_network("10.0.0.0/29"): 2, ip_network("fd00::/122"): 1}
    a.release("h1")
    assert addresses(a.release("h2")) == ["10.0.0.1"]
    assert blocks.is_empty(made.blocks()["10.0.0.0/29"])
