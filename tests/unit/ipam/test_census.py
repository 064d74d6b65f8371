"""What lives on a node, against a store that does not know it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from felix_py.datastore import codec
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import HandleId, IPAddress, IPPool, Kind, NodeName
from felix_py.datastore.store import KeyValue
from ipam.census import AGAIN_SECONDS, OTHERS_SECONDS
from ipam.errors import AddressTaken, GaveUp
from ipam.requests import AssignRequest, EndpointDraft
from tests.unit.ipam.cluster import Cluster, Machine, addresses


def first(node: NodeName, pool: IPPool) -> int:
    return 0


def cluster() -> Cluster:
    made = Cluster()
    made.pool("v4", "10.0.0.0/28", 30)
    made.node("a")
    made.node("b")
    return made


def request(handle: str, address: str) -> AssignRequest:
    key = ResourceKey(Kind.WORKLOAD_ENDPOINT, f"a-k8s-{handle}-eth0", "default")

    def render(given: tuple[IPAddress, ...], stored: KeyValue | None) -> bytes:
        spec = {
            "orchestrator": "k8s",
            "node": "a",
            "pod": handle,
            "endpoint": "eth0",
            "containerID": handle,
            "interfaceName": f"cali{handle}",
            "ipNetworks": [f"{one}/32" for one in given],
        }
        made = codec.render_new(key, spec, uid="u", created_at="2026-01-01T00:00:00Z")
        return stored.value if stored else made

    return AssignRequest(
        HandleId(handle),
        {"node": "a"},
        addresses=(ip_address(address),),
        endpoint=EndpointDraft(key, render),
        lives=True,
    )


def freeze_and_thaw(machine: Machine) -> None:
    machine.sync(frozen="the store went back")
    machine.step()
    machine.sync()
    machine.step()


def owners(made: Cluster) -> dict[str, str | None]:
    return {
        str(block.cidr.network_address + ordinal): block.attributes[index].handle_id
        for block in made.blocks().values()
        for ordinal, index in enumerate(block.allocations)
        if index is not None
    }


def test_a_node_that_the_store_knows_writes_nothing_at_its_start() -> None:
    made = cluster()
    Machine(made.store, "a", start_at=first).ask(request("h1", "10.0.0.0"))
    again = Machine(made.store, "a", start_at=first, living=lambda: [request("h1", "10.0.0.0")])
    again.sync()
    before = made.store.revision
    again.settle_down()
    assert (made.store.revision, again.commits) == (before, 0)


def test_pods_that_a_restored_store_does_not_know_are_registered_before_anything_is_given_out() -> (
    None
):
    made = cluster()
    old = made.store.snapshot()
    living: list[AssignRequest] = []
    a = Machine(made.store, "a", start_at=first, living=lambda: living)
    for number in range(6):  # a whole block and half of another
        one = request(f"h{number}", f"10.0.0.{number}")
        a.ask(one)
        living.append(one)
    made.store.restore(old)
    assert owners(made) == {}
    b = Machine(made.store, "b", start_at=first)
    for machine in (a, b):
        freeze_and_thaw(machine)
    held = a.submit(AssignRequest(HandleId("new"), {}))
    a.step()
    assert owners(made) == {f"10.0.0.{number}": f"h{number}" for number in range(6)}
    assert made.affinities() == {
        "a/ipv4/block/10.0.0.0-30": "confirmed",
        "a/ipv4/block/10.0.0.4-30": "confirmed",
    }
    with pytest.raises(GaveUp):
        held.wait(0)
    a.clock.advance(OTHERS_SECONDS)
    b.clock.advance(OTHERS_SECONDS)
    assert addresses(a.assign("n1")) == ["10.0.0.6"]
    assert addresses(b.assign("n2")) == ["10.0.0.8"]


def test_the_same_without_a_census_gives_an_address_out_twice() -> None:
    """The control: this is what it is for."""
    made = cluster()
    old = made.store.snapshot()
    a = Machine(made.store, "a", start_at=first)
    a.ask(request("h1", "10.0.0.0"))
    made.store.restore(old)
    freeze_and_thaw(a)
    a.clock.advance(OTHERS_SECONDS)
    assert addresses(a.assign("n1")) == ["10.0.0.0"]


def test_other_nodes_are_waited_for() -> None:
    made = cluster()
    a = Machine(made.store, "a", start_at=first)
    a.sync()
    freeze_and_thaw(a)
    ticket = a.submit(AssignRequest(HandleId("new"), {}))
    a.settle_down()
    assert owners(made) == {}
    a.clock.advance(OTHERS_SECONDS)
    a.settle_down()
    assert addresses(ticket.wait(0)) == ["10.0.0.0"]
    assert owners(made) == {"10.0.0.0": "new"}


def test_others_that_say_so_are_waited_for_longer_and_what_lives_here_is_not_held_up() -> None:
    made = cluster()
    register = [True]
    a = Machine(
        made.store,
        "a",
        start_at=first,
        living=lambda: [request("h1", "10.0.0.0")],
        others=lambda: register[0],
    )
    assert not a.allocator.status()["registered"]
    a.sync()
    freeze_and_thaw(a)
    ticket = a.submit(AssignRequest(HandleId("new"), {}))
    a.settle_down()
    assert owners(made) == {"10.0.0.0": "h1"}
    assert a.allocator.status()["registered"]
    a.clock.advance(OTHERS_SECONDS)
    a.settle_down()
    assert owners(made) == {"10.0.0.0": "h1"}
    register[0] = False
    a.settle_down()
    assert addresses(ticket.wait(0)) == ["10.0.0.1"]


def test_an_address_that_became_anothers_is_reported_and_neither_touched_nor_given_out() -> None:
    made = cluster()
    Machine(made.store, "b", start_at=first).assign("theirs")
    living = [request("h0", "10.0.0.0"), request("h1", "10.0.0.4"), request("h2", "10.9.0.1")]
    a = Machine(made.store, "a", start_at=first, living=lambda: living)
    a.sync()
    a.settle_down()
    assert owners(made) == {"10.0.0.0": "theirs", "10.0.0.4": "h1"}
    said = a.allocator.status()["unregistered"]
    assert len(said) == 2
    assert "a-k8s-h0-eth0 lives here with 10.0.0.0" in said[0]
    assert "10.9.0.1" in said[1]
    Machine(made.store, "b", start_at=first).release("theirs")
    with pytest.raises(AddressTaken, match="in use on this node"):
        a.assign("named", addresses=(ip_address("10.0.0.0"),))
    given = [addresses(a.assign(f"n{number}")) for number in range(4)]
    assert ["10.0.0.0"] not in given
    a.clock.advance(AGAIN_SECONDS)
    a.settle_down()
    assert owners(made)["10.0.0.0"] == "h0"
    assert len(a.allocator.status()["unregistered"]) == 1


def test_a_live_pod_of_a_disabled_pool_is_registered() -> None:
    made = cluster()
    made.pool("v4", "10.0.0.0/28", 30, disabled=True)
    a = Machine(made.store, "a", start_at=first, living=lambda: [request("h0", "10.0.0.1")])
    a.sync()
    a.settle_down()
    assert owners(made) == {"10.0.0.1": "h0"}


def test_a_whole_node_is_registered_in_few_transactions() -> None:
    made = Cluster()
    made.pool("v4", "10.0.0.0/16", 26)
    made.node("a")
    living = [
        request(f"h{number}", f"10.0.{number // 250}.{number % 250}") for number in range(500)
    ]
    a = Machine(made.store, "a", living=lambda: living)
    a.sync()
    a.settle_down(30)
    assert len(owners(made)) == 500
    assert a.commits < 20
