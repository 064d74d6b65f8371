"""A node answers who asks what lives on it: once for each question, and writes nothing unasked."""

from __future__ import annotations

import pytest

from cni.recovery import ELSE_SECONDS, FROZEN_SECONDS, Recovery
from felix_py.datastore.keys import RECOVERY, recovery_answer
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import HandleId, NodeName
from ipam.recovery import Claim, decode

NODE = NodeName("a")
LIVES = [Claim(HandleId("net.x"), "/calico/x", "x", ())]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_nothing_is_written_unasked(store: MemoryStore) -> None:
    Recovery(store, NODE, lambda: LIVES, lambda: True).step()
    assert store.get(recovery_answer(NODE)) is None


def test_each_question_is_answered_once_with_what_lives_then(store: MemoryStore) -> None:
    living = list(LIVES)
    node = Recovery(store, NODE, lambda: living, lambda: True)
    store.put(RECOVERY, b"first")
    node.step()
    answer = store.get(recovery_answer(NODE))
    assert answer is not None
    assert decode(answer.value, "first") == tuple(LIVES)
    node.step()
    assert store.get(recovery_answer(NODE)) == answer
    living.clear()
    store.put(RECOVERY, b"second")
    node.step()
    again = store.get(recovery_answer(NODE))
    assert again is not None
    assert decode(again.value, "second") == ()


def test_a_frozen_node_looks_more_often(store: MemoryStore) -> None:
    assert Recovery(store, NODE, list, lambda: True).wait_seconds == FROZEN_SECONDS
    assert Recovery(store, NODE, list, lambda: False).wait_seconds == ELSE_SECONDS
