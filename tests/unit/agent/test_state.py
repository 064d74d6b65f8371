"""What changes make dirty, and that the order of events decides nothing."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from felix_py.agent.calc import block_routes, local_routes
from felix_py.agent.state import State, watched_prefixes
from felix_py.datastore.changes import STORE_STATE, Change, StoreState
from felix_py.datastore.keys import AffinityKey, ResourceKey
from felix_py.datastore.model import AffinityState, BlockAffinity, Invalid, Kind
from felix_py.datastore.territory import Holding
from tests.unit.agent.builders import (
    ME,
    OTHER,
    block,
    block_key,
    cali,
    change,
    endpoint,
    endpoint_key,
)

A = ip_network("10.244.0.7/32")
CIDR = "10.244.0.64/26"


def clean_state() -> State:
    state = State(ME)
    state.take_dirty()
    return state


def test_at_first_everything_is_dirty_and_then_nothing() -> None:
    state = State(ME)
    assert state.take_dirty().everything
    assert not state.take_dirty().any


def test_only_local_endpoints_are_kept() -> None:
    state = clean_state()
    state.fold({endpoint_key("a"): change(endpoint("a", str(A), node=OTHER))})
    assert (state.endpoint_count, state.take_dirty().any) == (0, False)


def test_an_endpoint_that_moves_to_another_node_or_address_dirties_the_old_one_too() -> None:
    state = clean_state()
    state.fold({endpoint_key("a"): change(endpoint("a", str(A)))})
    state.take_dirty()
    state.fold({endpoint_key("a"): change(endpoint("a", "10.244.0.8/32", link="cali2"))})
    dirty = state.take_dirty()
    assert dirty.addresses == {A, ip_network("10.244.0.8/32")}
    assert dirty.interfaces == {"cali1", "cali2"}
    state.fold({endpoint_key("a"): change(endpoint("a", "10.244.0.8/32", node=OTHER))})
    assert state.endpoint_count == 0


def test_a_link_that_comes_back_with_another_index_dirties_its_addresses() -> None:
    state = clean_state()
    state.fold({endpoint_key("a"): change(endpoint("a", str(A)))})
    state.set_links([cali(index=5)])
    state.take_dirty()
    state.set_links([cali(index=5)])
    assert not state.take_dirty().any
    state.set_links([cali(index=6)])
    assert state.take_dirty().addresses == {A}


def test_an_invalid_object_counts_as_absent_and_is_named_until_it_is_right() -> None:
    state = clean_state()
    key = endpoint_key("a")
    state.fold({key: change(endpoint("a", str(A)))})
    state.fold({key: Change(None, Invalid("spec.ipNetworks: broken"))})
    assert state.invalid == {key.path: "spec.ipNetworks: broken"}
    assert state.endpoint_count == 0
    state.fold({key: change(endpoint("a", str(A)))})
    assert state.invalid == {}


def test_the_stores_state_is_taken_over() -> None:
    state = clean_state()
    state.fold({STORE_STATE: StoreState(True, True, None, 7)})
    assert state.store.may_act


def test_pools_nodes_affinities_and_blocks_are_watched_but_no_other_nodes_affinities() -> None:
    prefixes = watched_prefixes(ME)
    assert "/calico/ipam/v2/host/worker-1/" in prefixes
    assert not any(prefix == "/calico/ipam/v2/host/" for prefix in prefixes)
    assert all(prefix.endswith("/") for prefix in prefixes)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("endpoint"),
            st.sampled_from("abc"),
            st.sampled_from([None, "10.244.0.7/32", "10.244.0.8/32", "fd00::7/128"]),
            st.sampled_from(["cali1", "cali2"]),
            st.integers(1, 9),
        ),
        st.tuples(st.just("link"), st.sampled_from(["cali1", "cali2"]), st.integers(0, 3)),
        st.tuples(st.just("block"), st.sampled_from([None, ME, OTHER])),
        st.tuples(st.just("affinity"), st.sampled_from([None, *AffinityState])),
    ),
    max_size=25,
)


@given(STEPS)
def test_recomputing_dirty_keys_gives_what_recomputing_everything_gives(steps: list[Any]) -> None:
    state, links, kept = State(ME), {}, {}
    for step in steps:
        match step:
            case ("endpoint", name, address, link, revision):
                made = None if address is None else endpoint(name, address, link=link)
                state.fold({endpoint_key(name): change(made, revision)})
            case ("link", name, index):
                links[name] = cali(name, index + 1, up=index != 2)
                if index == 0:
                    del links[name]
                state.set_links(links.values())
            case ("block", owner):
                state.fold({block_key(CIDR): change(owner and block(CIDR, owner))})
            case ("affinity", affinity):
                key = AffinityKey(ME, ip_network(CIDR))
                state.fold({key: change(affinity and BlockAffinity(affinity))})
        dirty, snapshot = state.take_dirty(), state.snapshot
        for address in dirty.addresses:
            kept[address] = local_routes.route_of(address, snapshot)
        for cidr in dirty.blocks:
            kept[cidr] = block_routes.route_of(cidr, snapshot)
    snapshot = state.snapshot
    fresh = {a: local_routes.route_of(a, snapshot) for a in snapshot.claims}
    fresh |= {c: block_routes.route_of(c, snapshot) for c in snapshot.blocks}
    assert {k: v for k, v in kept.items() if v} == {k: v for k, v in fresh.items() if v}


def test_a_pool_or_node_change_asks_for_another_look_at_the_node() -> None:
    state = clean_state()
    state.fold({ResourceKey(Kind.NODE, "worker-2"): Change(None)})
    assert state.take_dirty().nodes


def test_another_nodes_pods_are_no_news_and_its_blocks_owner_is() -> None:
    state = clean_state()
    key = block_key(CIDR)
    assert state.fold({key: change(Holding(OTHER))})
    state.take_dirty()
    assert not state.fold({key: change(Holding(OTHER))})
    assert not state.fold({STORE_STATE: state.store})
    assert state.fold({STORE_STATE: StoreState(True, True, None, 7)})
    assert not state.fold({STORE_STATE: StoreState(True, True, None, 8)})
    assert state.fold({endpoint_key("a"): change(endpoint("a", str(A)))})
