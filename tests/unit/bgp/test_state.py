"""The fold: what is kept, and what a change makes dirty."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from bgp.state import Dirty, State, watched_prefixes
from felix_py.datastore.changes import STORE_STATE, Change, StoreState
from felix_py.datastore.keys import AffinityKey, BlockKey, Key, ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    BlockAffinity,
    Invalid,
    Kind,
    NodeName,
    Stored,
)
from tests.support.bgp_cluster import ME, bgp_peer, block, endpoint, node, pool

MINE = ip_network("10.244.1.0/26")


def change(value: Any) -> Change:
    return Change(None if value is None else Stored(value, b"", 1, 1))


def folded(*items: tuple[Key, Any], on: State | None = None) -> State:
    state = on or State(ME)
    state.take_dirty()
    state.fold({key: change(value) for key, value in items})
    return state


def resource(kind: Kind, name: str, namespace: str = "") -> ResourceKey:
    return ResourceKey(kind, name, namespace)


def test_it_watches_what_bgp_needs_and_of_affinities_only_its_own() -> None:
    prefixes = watched_prefixes(ME)
    assert any(prefix.endswith("/host/node-1/") for prefix in prefixes)
    assert all(prefix.endswith("/") for prefix in prefixes)
    assert any("bgppeers" in prefix for prefix in prefixes)


def test_at_first_everything_is_dirty() -> None:
    assert State(ME).take_dirty() == Dirty(
        peerings=True, announcements=True, everything_learned=True
    )


def test_the_same_value_again_makes_nothing_dirty() -> None:
    items = (
        (resource(Kind.IP_POOL, "a"), pool("a", "10.244.0.0/16")),
        (resource(Kind.NODE, "node-2"), node("node-2", "10.0.0.2/24")),
        (resource(Kind.BGP_PEER, "p"), bgp_peer("p", peer_ip="10.0.0.9")),
        (BlockKey(MINE), block(str(MINE), "node-1")),
        (AffinityKey(ME, MINE), BlockAffinity(AffinityState.CONFIRMED)),
    )
    state = folded(*items)
    assert state.take_dirty().anything
    state = folded(*items, on=state)
    assert not state.take_dirty().anything


def test_only_what_bgp_looks_at_in_a_node_counts() -> None:
    key = resource(Kind.NODE, "node-2")
    state = folded((key, node("node-2", "10.0.0.2/24")))
    folded((key, node("node-2", "10.0.0.2/24", vxlan_tunnel_mac="66:00:00:00:00:01")), on=state)
    assert not state.take_dirty().anything
    folded((key, node("node-2", "10.0.0.2/24", labels={"rack": "b"})), on=state)
    assert state.take_dirty() == Dirty(peerings=True)
    folded((key, node("node-2", "10.0.0.3/24")), on=state)
    assert state.take_dirty() == Dirty(peerings=True, everything_learned=True)


def test_blocks_of_other_nodes_are_not_kept() -> None:
    state = folded((BlockKey(MINE), block(str(MINE), "node-2")))
    assert state.snapshot.blocks == {}
    assert state.snapshot.owners == {MINE: "node-2"}
    assert state.take_dirty() == Dirty(owners={MINE})


def test_a_block_that_becomes_or_ceases_to_be_ours_touches_everything_learned() -> None:
    state = folded((BlockKey(MINE), block(str(MINE), "node-1")))
    touched = Dirty(announcements=True, everything_learned=True, owners={MINE})
    assert state.take_dirty() == touched
    folded((BlockKey(MINE), block(str(MINE), "node-1", {"10.244.1.5": "node-2"})), on=state)
    guest = ip_network("10.244.1.5/32")
    assert state.take_dirty() == Dirty(own_blocks={MINE}, owners={guest})
    folded((BlockKey(MINE), block(str(MINE), "node-2")), on=state)
    touched = Dirty(announcements=True, everything_learned=True, owners={MINE, guest})
    assert state.take_dirty() == touched
    assert state.snapshot.blocks == {}


def test_endpoints_of_other_nodes_are_not_kept() -> None:
    key = resource(Kind.WORKLOAD_ENDPOINT, "a", "default")
    state = folded((key, endpoint("a", "10.244.1.5/32", on="node-2")))
    assert state.snapshot.endpoints == {}
    assert not state.take_dirty().anything
    folded((key, endpoint("a", "10.244.1.5/32")), on=state)
    assert state.take_dirty() == Dirty(announcements=True)


def test_virtual_affinities_and_those_of_others_are_not_ours() -> None:
    confirmed = BlockAffinity(AffinityState.CONFIRMED)
    state = folded(
        (AffinityKey(ME, MINE, virtual=True), confirmed),
        (AffinityKey(NodeName("node-2"), MINE), confirmed),
    )
    assert state.snapshot.affinities == {}


def test_an_invalid_object_counts_as_absent_and_is_named_until_it_is_well_again() -> None:
    key = resource(Kind.BGP_PEER, "p")
    state = folded((key, bgp_peer("p", peer_ip="10.0.0.9")))
    state.fold({key: Change(None, Invalid("spec.peerIP: no address"))})
    assert state.snapshot.peers == {}
    assert state.invalid == {key: "spec.peerIP: no address"}
    folded((key, bgp_peer("p", peer_ip="10.0.0.9")), on=state)
    assert state.invalid == {}


def test_an_invalid_block_of_somebody_else_is_not_our_trouble() -> None:
    state = State(ME)
    state.fold({BlockKey(MINE): Change(None, Invalid("broken"))})
    assert state.invalid == {}


def test_the_state_of_the_store_is_kept() -> None:
    state = State(ME)
    now = StoreState(in_sync=True, connected=True, frozen=None, revision=7)
    state.fold({STORE_STATE: now})
    assert state.store == now
