"""Affinities left half-way are put right by their owner, without an ADD."""

from __future__ import annotations

import json

import pytest

from tests.unit.ipam.cluster import Cluster, Machine

AFFINITY = "/calico/ipam/v2/host/a/ipv4/block/10.0.0.0-29"
BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-29"


def used() -> tuple[Cluster, Machine]:
    made = Cluster()
    made.pool("v4", "10.0.0.0/29", 29)
    made.node("a")
    made.node("b")
    a = Machine(made.store, "a")
    a.assign("h1")
    return made, a


def set_state(made: Cluster, state: str) -> None:
    made.store.put(AFFINITY, json.dumps({"state": state}).encode())


@pytest.mark.parametrize("state", ["pending", "pendingDeletion"])
def test_a_half_way_affinity_of_a_used_block_is_confirmed_and_rivals_are_invalidated(
    state: str,
) -> None:
    made, a = used()
    before = made.store.get(BLOCK)
    set_state(made, state)
    a.sync()
    a.settle_down(2)
    assert made.affinities() == {"a/ipv4/block/10.0.0.0-29": "confirmed"}
    after = made.store.get(BLOCK)
    assert before is not None
    assert after is not None
    assert after.mod_revision > before.mod_revision


@pytest.mark.parametrize("state", ["pending", "pendingDeletion"])
def test_a_half_way_affinity_of_an_empty_block_is_released(state: str) -> None:
    made, a = used()
    a.release("h1")
    set_state(made, state)
    a.sync()
    a.settle_down(2)
    assert (made.affinities(), made.blocks()) == ({}, {})


@pytest.mark.parametrize("state", ["pending", "pendingDeletion", "confirmed"])
def test_an_affinity_without_a_block_is_dropped(state: str) -> None:
    made, _ = used()
    made.store.delete(BLOCK)
    set_state(made, state)
    fresh = Machine(made.store, "a")
    fresh.sync()
    fresh.settle_down(2)
    assert made.affinities() == {}


@pytest.mark.parametrize("affinity", [b'"host:b"', b"null"])
def test_an_affinity_whose_block_is_not_ours_is_dropped(affinity: bytes) -> None:
    made, _ = used()
    stored = made.store.get(BLOCK)
    assert stored is not None
    made.store.put(BLOCK, stored.value.replace(b'"host:a"', affinity))
    fresh = Machine(made.store, "a")
    fresh.sync()
    fresh.settle_down(2)
    assert made.affinities() == {}
    assert made.blocks()["10.0.0.0/29"].attributes != ()


def test_an_affinity_whose_block_cannot_be_read_is_left_alone() -> None:
    made, _ = used()
    made.store.put(BLOCK, b"{}")
    fresh = Machine(made.store, "a")
    fresh.sync()
    fresh.settle_down(3)
    assert made.affinities() == {"a/ipv4/block/10.0.0.0-29": "confirmed"}
    assert fresh.commits == 0


def test_an_empty_block_in_a_pool_that_left_the_node_is_released_without_an_add() -> None:
    made, a = used()
    a.release("h1")
    made.pool("v4", "10.0.0.0/29", 29, nodeSelector="rack == 'none'")
    a.sync()
    a.settle_down(2)
    assert (made.affinities(), made.blocks()) == ({}, {})


def test_a_repair_that_loses_its_race_is_tried_again() -> None:
    made, a = used()
    set_state(made, "pending")
    a.sync()
    stored = made.store.get(BLOCK)
    assert stored is not None
    made.store.put(BLOCK, stored.value)
    a.settle_down(3)
    assert made.affinities() == {"a/ipv4/block/10.0.0.0-29": "confirmed"}
