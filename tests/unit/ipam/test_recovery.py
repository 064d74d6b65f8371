"""What lives beats what is stored; what is stored and lives no more goes; the silent are believed."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from felix_py.datastore.model import HandleId, NodeName
from ipam.audit import snapshot_of
from ipam.recovery import Recovery, plan
from ipam.recovery_papers import Answer, Claim, decode, encode
from tests.unit.ipam.cluster import Cluster, Machine
from tests.unit.ipam.test_audit import endpoint, made

__all__ = ["made"]

A, B = NodeName("a"), NodeName("b")


def claim(name: str, *addresses: str) -> Claim:
    return Claim(
        HandleId(f"net.c-{name}"),
        endpoint(name).key.path,
        f"c-{name}",
        tuple(map(ip_address, addresses)),
    )


ONE, TWO = claim("one", "10.0.0.0"), claim("two", "10.0.0.1")


def planned(made: Cluster, **claims: Sequence[Claim]) -> Recovery:
    return plan(snapshot_of(made.store), {NodeName(n): c for n, c in claims.items()})


def test_a_store_that_knows_what_lives_needs_nothing(made: Cluster) -> None:
    assert planned(made, a=[ONE, TWO]) == Recovery((), (), (), ())


def test_a_pod_that_lives_no_more_goes_with_its_lease_and_tunnels_stay(made: Cluster) -> None:
    found = planned(made, a=[ONE])
    assert found.endpoints == (endpoint("two").key.path,)
    assert [str(each.address) for each in found.leases] == ["10.0.0.1"]
    assert found.leases[0].sequence is not None


def test_a_pod_that_the_store_does_not_know_returns(made: Cluster) -> None:
    found = planned(made, a=[ONE, TWO, claim("three", "10.0.0.5")])
    assert found.returning == ("a-k8s-three-eth0 on a: 10.0.0.5",)
    assert found.leases == ()


def test_another_container_of_the_same_pod_replaces_the_stored_one(made: Cluster) -> None:
    newer = Claim(HandleId("net.c-new"), endpoint("two").key.path, "c-new", TWO.addresses)
    found = planned(made, a=[ONE, newer])
    assert found.endpoints == (endpoint("two").key.path,)
    assert [str(each.address) for each in found.leases] == ["10.0.0.1"]
    assert len(found.returning) == 1


def test_a_node_that_did_not_answer_keeps_what_the_store_has(made: Cluster) -> None:
    assert planned(made, b=[]) == Recovery((), (), (), ())


def test_two_that_live_with_one_address_are_told_and_nothing_is_taken(made: Cluster) -> None:
    found = planned(made, a=[ONE, TWO], b=[claim("four", "10.0.0.1")])
    assert found.leases == ()
    assert found.conflicts == (
        "10.0.0.1 is used by a-k8s-two-eth0 on a and by a-k8s-four-eth0 on b: recreate all but one",
    )


def test_an_address_that_a_silent_node_holds_is_told(made: Cluster) -> None:
    found = planned(made, b=[claim("four", "10.0.0.1")])
    assert found.leases == ()
    (said,) = found.conflicts
    assert said.startswith("10.0.0.1 is used by a-k8s-four-eth0 on b; the store gives it to handle")


def test_an_address_that_the_store_gives_to_another_that_lives_is_told(made: Cluster) -> None:
    swapped = [
        Claim(ONE.handle_id, ONE.endpoint, ONE.container_id, TWO.addresses),
        Claim(TWO.handle_id, TWO.endpoint, TWO.container_id, ONE.addresses),
    ]
    found = planned(made, a=swapped)
    assert (found.endpoints, found.leases) == ((), ())
    assert [each.partition(" is used by")[0] for each in found.conflicts] == [
        "10.0.0.0",
        "10.0.0.1",
    ]


def test_what_a_tunnel_carries_is_a_claim_like_any_other(made: Cluster) -> None:
    handle = HandleId("ipip-tunnel-addr-b")
    tunnel = Claim(handle, "", "", (ip_address("10.0.0.1"),))
    outside = Claim(handle, "", "", (ip_address("192.0.2.1"),))
    assert planned(made, a=[ONE], b=[tunnel, outside]).conflicts == (), "the pod is gone"
    found = planned(made, a=[ONE, TWO], b=[tunnel, outside])
    (said,) = found.conflicts
    assert said.startswith("10.0.0.1 is used by a-k8s-two-eth0 on a and by ipip-tunnel-addr-b on b")
    assert (found.undecided, found.returning) == ((), ())


def test_an_address_in_no_pool_of_the_store_is_for_a_person(made: Cluster) -> None:
    found = planned(made, a=[ONE, TWO, claim("three", "192.0.2.1")])
    (said,) = found.undecided
    assert said.startswith("192.0.2.1 of a-k8s-three-eth0 on a lies in no pool of this store")


def test_a_block_that_cannot_be_read_is_for_a_person(made: Cluster) -> None:
    made.store.put("/calico/ipam/v2/assignment/ipv4/block/10.0.9.0-24", b"{")
    (said,) = planned(made, a=[ONE, TWO]).undecided
    assert "10.0.9.0-24 cannot be read" in said


def test_a_lease_without_endpoint_goes_when_its_node_answers(made: Cluster) -> None:
    Machine(made.store, "a").assign("net.c-left")
    assert [str(each.address) for each in planned(made, a=[ONE, TWO]).leases] == ["10.0.0.3"]


def test_an_answer_is_read_as_it_was_given_and_only_for_its_question() -> None:
    answer = Answer((ONE, TWO), manual=True, remembers=False, missed=("c",))
    raw = encode("n", answer)
    assert decode(raw, "n") == answer
    assert decode(raw, "m") is None


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"nonce":"n"}', b'{"nonce":"n","living":[1]}'])
def test_what_is_no_answer_counts_as_none(raw: bytes) -> None:
    assert decode(raw, "n") is None
