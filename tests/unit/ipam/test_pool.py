"""Which pools serve whom, and the order in which a node tries a pool's blocks."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore.model import (
    AssignmentMode,
    IPPool,
    Metadata,
    Node,
    NodeName,
    PoolUse,
)
from ipam import pool as pools
from ipam.errors import NoQualifiedPool
from ipam.pool import Ask

NODE = Node(Metadata("a", labels={"rack": "r1"}))


def made(name: str, cidr: str = "10.0.0.0/16", size: int = 26, **fields: object) -> IPPool:
    return IPPool(Metadata(name), ip_network(cidr), size, **fields)  # type: ignore[arg-type]


def names(*known: IPPool, **ask: object) -> list[str]:
    wanted = Ask(**({"version": 4, "node": NODE} | ask))  # type: ignore[arg-type]
    return [pool.name for pool in pools.qualifying(known, wanted)]


def test_pools_are_tried_in_the_order_of_their_names() -> None:
    assert names(made("b"), made("a", "10.1.0.0/16"), made("v6", "fd00::/64", 122)) == ["a", "b"]


@pytest.mark.parametrize(
    "fields",
    [
        {"disabled": True},
        {"allocatable": False},
        {"assignment_mode": AssignmentMode.MANUAL},
        {"node_selector": "rack == 'r2'"},
        {"node_selector": "not a (selector"},
        {"namespace_selector": "team == 'x'"},
        {"allowed_uses": frozenset({PoolUse.TUNNEL})},
    ],
)
def test_a_pool_that_must_not_serve_the_request_does_not(fields: dict[str, Any]) -> None:
    with pytest.raises(NoQualifiedPool):
        names(made("p", **fields))


def test_a_pool_on_its_way_out_gives_nothing() -> None:
    going = IPPool(Metadata("p", deleting=True), ip_network("10.0.0.0/16"), 26)
    with pytest.raises(NoQualifiedPool, match="no enabled"):
        names(going)


def test_selectors_match_the_node_and_the_namespace() -> None:
    pool = made("p", node_selector="rack == 'r1'", namespace_selector="team == 'x'")
    assert names(pool, namespace_labels={"team": "x"}) == ["p"]


def test_named_pools_come_in_the_requests_order_and_past_all_selectors() -> None:
    first = made("one", node_selector="rack == 'r2'", assignment_mode=AssignmentMode.MANUAL)
    second = made("two", "10.1.0.0/16")
    sixth = made("six", "fd00::/64", 122)
    assert names(first, second, sixth, named=("six", "10.1.0.0/16", "one")) == ["two", "one"]


@pytest.mark.parametrize("name", ["nowhere", "10.9.0.0/16", "off"])
def test_a_named_pool_that_is_not_enabled_is_an_error(name: str) -> None:
    with pytest.raises(NoQualifiedPool, match="does not exist, or is not enabled"):
        names(made("on"), made("off", "10.1.0.0/16", disabled=True), named=(name,))


def test_a_named_pool_must_still_allow_the_use() -> None:
    pool = made("p", allowed_uses=frozenset({PoolUse.WORKLOAD}))
    with pytest.raises(NoQualifiedPool, match="required use Tunnel"):
        names(pool, named=("p",), use=PoolUse.TUNNEL)


def test_only_an_enabled_pool_contains_an_address() -> None:
    known = [made("off", disabled=True), made("six", "fd00::/64", 122)]
    assert pools.containing(ip_address("10.0.0.1"), known) is None
    found = pools.containing(ip_network("fd00::40/122"), known)
    assert found is not None
    assert found.name == "six"


def test_every_node_starts_at_its_own_stable_place() -> None:
    pool = made("p", "10.0.0.0/8", 28)
    starts = {pools.start_index(NodeName(f"worker-{i}"), pool) for i in range(200)}
    assert len(starts) > 190
    assert pools.start_index(NodeName("worker-1"), pool) == pools.start_index(
        NodeName("worker-1"), pool
    )


def test_a_large_pool_is_walked_lazily_and_reserved_stretches_are_jumped() -> None:
    pool = made("p", "10.0.0.0/8", 30)
    half = ip_network("10.0.0.0/9")
    found = list(islice(pools.candidates(pool, 0, [half]), 2))
    assert found == [ip_network("10.128.0.0/30"), ip_network("10.128.0.4/30")]
    around = list(islice(pools.candidates(pool, 2**22 - 1, [half]), 2))
    assert around == [ip_network("10.255.255.252/30"), ip_network("10.128.0.0/30")]


def test_a_pool_that_is_reserved_as_a_whole_has_no_candidates() -> None:
    everything = [ip_network("0.0.0.0/0")]
    assert list(pools.candidates(made("p", "10.0.0.0/8", 30), 77, everything)) == []


@given(start=st.integers(0, 63), reserved=st.lists(st.integers(0, 63), max_size=5))
def test_candidates_are_all_unreserved_blocks_once(start: int, reserved: list[int]) -> None:
    pool = made("p", "10.0.0.0/20", 26)
    nets = [pools.block_at(pool, index) for index in reserved]
    walked = list(pools.candidates(pool, start, nets))
    assert len(walked) == len(set(walked)) == 64 - len(set(reserved))
    indexes = [pools.index_of(pool, block) for block in walked]
    assert indexes == sorted(indexes, key=lambda index: (index - start) % 64)
    assert pools.in_order(pool, reversed(walked), start) == walked


def test_blocks_of_another_size_or_pool_are_not_in_its_order() -> None:
    pool = made("p", "10.0.0.0/20", 26)
    foreign = [ip_network("10.0.0.0/27"), ip_network("10.9.0.0/26"), ip_network("fd00::/122")]
    assert pools.in_order(pool, foreign, 0) == []
