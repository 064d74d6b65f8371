"""ipam recover: nodes are asked, what lives no more is released, the store is accepted; or nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from felix_py.ctl import ipam_recover
from felix_py.ctl.errors import CommandError
from felix_py.ctl.ipam_recover import Terms
from felix_py.datastore import gate
from felix_py.datastore.identity import ACCEPTED
from felix_py.datastore.keys import (
    RECOVERY,
    RECOVERY_GATE,
    RECOVERY_QUESTION,
    recovery_answer,
)
from felix_py.datastore.model import HandleId, NodeName
from ipam.recovery_papers import Answer, Claim, decode_question, encode
from tests.unit.ctl.memory_session import RESOURCES, MemorySession
from tests.unit.ctl.test_ipam import BLOCK, ENDPOINT, block, endpoint, free, session

__all__ = ["session"]

WORKER = NodeName("worker-1")


@pytest.fixture
def lost(session: MemorySession) -> MemorySession:
    """One node, one endpoint with one of its two leases."""
    session.put(ENDPOINT, endpoint("10.244.0.0"))
    node = b'{"kind":"Node","metadata":{"name":"worker-1"},"spec":{}}'
    session.put(f"{RESOURCES}nodes/worker-1", node)
    spec = {"clusterGUID": "a" * 32, "clusterType": "", "datastoreReady": True}
    cluster = {"kind": "ClusterInformation", "metadata": {"name": "default"}, "spec": spec}
    session.put(f"{RESOURCES}clusterinformations/default", json.dumps(cluster).encode())
    return session


def answering(
    session: MemorySession,
    *claims: Claim,
    node: NodeName = WORKER,
    missed: tuple[str, ...] = (),
) -> Callable[[float], None]:
    """What a node does while the command waits."""

    def wait(_: float) -> None:
        asked = session.memory.get(RECOVERY_QUESTION)
        assert asked is not None
        assert not ready(session), "asked while addresses are given out"
        question = decode_question(asked.value)
        assert question is not None
        session.put(recovery_answer(node), encode(question.nonce, Answer(claims, missed=missed)))

    return wait


def recover(
    session: MemorySession, wait: Callable[[float], None], terms: Terms | None = None
) -> list[str]:
    return list(ipam_recover.recover(session, terms or Terms(yes=True), lambda _: None, wait))


def ready(session: MemorySession) -> bool:
    return bool(session.stored("clusterinformations/default")["spec"]["datastoreReady"])


def untouched(session: MemorySession) -> bool:
    return (
        session.memory.get(ACCEPTED) is None
        and session.memory.get(BLOCK) is not None
        and free(session) == [2, 3]
        and not session.memory.list(RECOVERY).items
        and ready(session)
    )


def test_what_lives_no_more_is_released_and_the_store_accepted(lost: MemorySession) -> None:
    said = recover(lost, answering(lost))
    assert said[0] == "1 nodes answered, 0 attachments live; dead: none"
    assert said[-1].startswith("accepted cluster")
    assert lost.memory.get(ENDPOINT) is None
    assert free(lost) == [0, 1, 2, 3]
    assert lost.memory.get(ACCEPTED) is not None
    left = [item.key for item in lost.memory.list(RECOVERY).items]
    assert left == [recovery_answer(WORKER)], "which the node takes away when it has registered"
    assert ready(lost)


def test_what_lives_stays(lost: MemorySession) -> None:
    living = Claim(HandleId("net.abc"), ENDPOINT, "abc", ())
    recover(lost, answering(lost, living))
    assert lost.memory.get(ENDPOINT) is not None
    assert free(lost) == [2, 3]


def test_a_node_that_does_not_answer_stops_all(lost: MemorySession) -> None:
    other = answering(lost, node=NodeName("worker-2"))
    with pytest.raises(CommandError, match="worker-1 did not answer"):
        recover(lost, other, Terms(yes=True, wait_seconds=2))
    assert untouched(lost)


def test_a_dead_node_is_believed(lost: MemorySession) -> None:
    other = answering(lost, node=NodeName("worker-2"))
    said = recover(lost, other, Terms(dead=(WORKER,), yes=True))
    assert "dead: worker-1" in said[0]
    assert lost.memory.get(ENDPOINT) is not None
    assert free(lost) == [2, 3]
    assert lost.memory.get(ACCEPTED) is not None


def test_nothing_is_done_when_nobody_answers_or_the_person_says_no(lost: MemorySession) -> None:
    with pytest.raises(CommandError, match="no node answered within 1 s"):
        recover(lost, lambda _: None, Terms(yes=True, wait_seconds=1))
    assert untouched(lost)

    def no(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ipam_recover.recover(lost, Terms(), no, answering(lost)))
    assert untouched(lost)


def test_a_store_without_cluster_is_not_asked_about(session: MemorySession) -> None:
    with pytest.raises(CommandError, match="felixctl init"):
        recover(session, answering(session))
    assert not session.memory.list(RECOVERY).items


def test_what_changed_meanwhile_stops_before_the_store_is_accepted(lost: MemorySession) -> None:
    def change(_: str) -> None:
        lost.put(BLOCK, block(sequence=9))

    with pytest.raises(CommandError, match="changed hands meanwhile"):
        list(ipam_recover.recover(lost, Terms(), change, answering(lost)))
    assert lost.memory.get(ACCEPTED) is None


def test_a_node_that_only_others_remember_is_waited_for(lost: MemorySession) -> None:
    """It came after the snapshot: the store has no object of it."""
    with pytest.raises(CommandError, match="worker-9 did not answer"):
        recover(lost, answering(lost, missed=("worker-9",)), Terms(yes=True, wait_seconds=2))
    recover(
        lost, answering(lost, missed=("worker-9",)), Terms(dead=(NodeName("worker-9"),), yes=True)
    )
    assert lost.memory.get(ACCEPTED) is not None


def test_a_gate_that_an_operator_closed_stays_closed(lost: MemorySession) -> None:
    document = lost.stored("clusterinformations/default")
    document["spec"]["datastoreReady"] = False
    lost.put(f"{RESOURCES}clusterinformations/default", json.dumps(document).encode())
    said = recover(lost, answering(lost))
    assert "nothing goes on yet" in said[-1]
    assert not ready(lost)


def test_a_gate_that_a_node_closed_is_opened_and_stays_closed_when_nothing_is_decided(
    lost: MemorySession,
) -> None:
    found, _ = gate.look(lost.memory)
    assert found is not None
    assert gate.close(lost.memory, found, "worker-1", "it went back")
    with pytest.raises(CommandError):
        recover(lost, lambda _: None, Terms(yes=True, wait_seconds=1))
    assert not ready(lost)
    assert lost.memory.get(RECOVERY_GATE) is not None
    recover(lost, answering(lost))
    assert ready(lost)
    assert lost.memory.get(RECOVERY_GATE) is None


def test_another_recovery_that_began_meanwhile_wins(lost: MemorySession) -> None:
    def replace(_: str) -> None:
        lost.put(RECOVERY_QUESTION, b"another")

    with pytest.raises(CommandError, match="another recovery"):
        list(ipam_recover.recover(lost, Terms(), replace, answering(lost)))
    assert lost.memory.get(ACCEPTED) is None
