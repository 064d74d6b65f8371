"""One writer per node, and every lost answer settled truthfully."""

from __future__ import annotations

import json

import pytest

from felix_py.datastore.errors import NotTheWriter, StoreAway, StoreWentBack
from felix_py.datastore.fence import Fence
from felix_py.datastore.keys import SessionKey
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import ModRevisionIs, Put

NODE = NodeName("worker-1")
SESSION = SessionKey(NODE).path
MACHINE, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def fence(store: MemoryStore) -> Fence:
    fence = Fence(store, NODE, MACHINE)
    fence.open()
    return fence


def held(store: MemoryStore, key: str = "/x") -> bytes | None:
    found = store.get(key)
    return None if found is None else found.value


def test_opening_writes_our_machine_and_a_fresh_nonce(store: MemoryStore, fence: Fence) -> None:
    first = json.loads(held(store, SESSION) or b"")
    assert first["machineId"] == MACHINE
    Fence(store, NODE, MACHINE).open()
    assert json.loads(held(store, SESSION) or b"")["nonce"] != first["nonce"]


def test_another_machines_session_is_refused_without_takeover(
    store: MemoryStore, fence: Fence
) -> None:
    other = Fence(store, NODE, OTHER)
    with pytest.raises(NotTheWriter, match="--takeover"):
        other.open()
    other.open(takeover=True)
    with pytest.raises(NotTheWriter):
        fence.commit((), (Put("/x", b"1"),))
    assert held(store) is None


def test_an_unreadable_session_is_not_ours(store: MemoryStore) -> None:
    store.put(SESSION, b"?")
    with pytest.raises(NotTheWriter):
        Fence(store, NODE, MACHINE).open()


def test_commits_follow_one_another(store: MemoryStore, fence: Fence) -> None:
    for number in range(3):
        outcome = fence.commit((), (Put("/x", b"%d" % number),))
        assert outcome.succeeded
        assert fence.revision == outcome.revision
    assert held(store) == b"2"


def test_a_failed_compare_is_the_callers_and_leaves_the_session(
    store: MemoryStore, fence: Fence
) -> None:
    store.put("/y", b"there")
    outcome = fence.commit((ModRevisionIs("/y", 0),), (Put("/x", b"1"),), ("/y", "/z"))
    assert not outcome.succeeded
    assert set(outcome.found) == {"/y", "/z"}
    assert held(store) is None
    assert fence.commit((), (Put("/x", b"1"),)).succeeded


def test_a_second_process_of_the_same_machine_ends_the_first(
    store: MemoryStore, fence: Fence
) -> None:
    Fence(store, NODE, MACHINE).open()
    with pytest.raises(NotTheWriter, match="another process"):
        fence.commit((), (Put("/x", b"1"),))


def test_an_answer_lost_after_the_commit_settles_as_done(store: MemoryStore, fence: Fence) -> None:
    store.faults.lose_response_after_commit = 1
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/x", b"1"),))
    assert fence.unsettled
    assert fence.settle() is True
    assert held(store) == b"1"
    assert fence.commit((), (Put("/x", b"2"),)).succeeded


def test_a_lost_request_settles_as_not_done(store: MemoryStore, fence: Fence) -> None:
    store.faults.lose_request = 1
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/x", b"1"),))
    assert fence.settle() is False
    assert held(store) is None
    assert fence.commit((), (Put("/x", b"2"),)).succeeded


def test_a_late_transaction_cannot_commit_after_it_was_settled(
    store: MemoryStore, fence: Fence
) -> None:
    store.faults.hold = 1
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/x", b"late"),))
    assert fence.settle() is False
    (outcome,) = store.deliver_held()
    assert not outcome.succeeded
    assert held(store) is None


def test_without_settling_a_late_transaction_does_commit(store: MemoryStore, fence: Fence) -> None:
    """The control of the test above: the fault that settling guards against is real."""
    store.faults.hold = 1
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/x", b"late"),))
    assert store.deliver_held()[0].succeeded
    assert held(store) == b"late"
    assert fence.settle() is True


@pytest.mark.parametrize("fault", ["lose_request", "lose_response_after_commit", "hold"])
@pytest.mark.parametrize("first", ["lose_request", "lose_response_after_commit", "hold"])
def test_settling_may_itself_lose_answers(
    store: MemoryStore, fence: Fence, first: str, fault: str
) -> None:
    setattr(store.faults, first, 1)
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/x", b"1"),))
    setattr(store.faults, fault, 2)
    for _ in range(2):
        with pytest.raises(StoreAway):
            fence.settle()
    truth = fence.settle()
    store.deliver_held()
    assert truth is (held(store) == b"1")
    assert fence.commit((), (Put("/x", b"2"),)).succeeded


def test_held_transactions_delivered_in_between_are_told_truly(
    store: MemoryStore, fence: Fence
) -> None:
    store.faults.hold = 2
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/x", b"1"),))
    with pytest.raises(StoreAway):
        fence.settle()
    assert [outcome.succeeded for outcome in store.deliver_held()] == [True, False]
    assert fence.settle() is True


def test_settling_after_a_takeover_says_that_nobody_knows(store: MemoryStore, fence: Fence) -> None:
    store.faults.lose_request = 1
    with pytest.raises(StoreAway):
        fence.commit((), (Put("/x", b"1"),))
    Fence(store, NODE, OTHER).open(takeover=True)
    with pytest.raises(NotTheWriter):
        fence.settle()
    assert fence.unsettled


def test_a_wiped_or_restored_store_is_noticed(store: MemoryStore, fence: Fence) -> None:
    saved = store.snapshot()
    assert fence.commit((), (Put("/x", b"1"),)).succeeded
    store.restore(saved)
    with pytest.raises(StoreWentBack):
        fence.commit((), (Put("/x", b"2"),))
    store.wipe()
    with pytest.raises(StoreWentBack):
        fence.commit((), (Put("/x", b"2"),))
    with pytest.raises(StoreWentBack):
        fence.open()


def test_committing_while_unsettled_is_a_programming_error(
    store: MemoryStore, fence: Fence
) -> None:
    store.faults.lose_request = 1
    with pytest.raises(StoreAway):
        fence.commit((), ())
    with pytest.raises(AssertionError):
        fence.commit((), ())
