from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cni.attachments import Attachments
from cni.mtu import NodeMtu
from cni.pending import PendingDels
from cni.records import Records
from cni.status import ALLOCATOR_SECONDS, NOT_READ, Concern, ObservedMailbox, Reporter
from felix_py.datastore.changes import StoreState, StoreStateKey
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import NodeName
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.health import Health


class Conflist:
    """A concern."""

    name = "conflist"

    def report(self) -> Mapping[str, object]:
        """Its part of the status."""
        return {"state": "written"}

    def warnings(self) -> list[str]:
        """What is wrong."""
        return ["somebody else's file"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def reporter(tmp_path: Path, clock: FakeClock) -> Reporter:
    attachments = Attachments(
        node=NodeName("n1"),
        addresses=None,  # type: ignore[arg-type]
        store=MemoryStore(),
        veths=None,  # type: ignore[arg-type]
        records=Records(str(tmp_path)),
        pending=PendingDels(str(tmp_path)),
        clock=clock,
        mtus=NodeMtu(0, str(tmp_path)),
    )
    health = Health(clock)
    mailbox = ObservedMailbox(health)
    concerns: list[Concern] = [Conflist()]
    return Reporter(attachments, mailbox, dict, lambda _: None, str(tmp_path), health, concerns)


def test_the_node_is_ready_while_add_can_be_served(reporter: Reporter) -> None:
    reporter.step()
    assert reporter.health.report().why == {"etcd": "etcd was not read yet"}
    read = StoreState(in_sync=True, connected=True, frozen=None, revision=1)
    reporter.mailbox.put(StoreStateKey(), read)
    reporter.step()
    assert reporter.health.report().why == {"cni": NOT_READ}
    reporter.note_fence(None)
    reporter.step()
    assert reporter.health.report().ready
    reporter.kubernetes = lambda: "pods were not listed yet"
    reporter.step()
    assert reporter.health.report().why == {"kubernetes": "pods were not listed yet"}
    assert (reporter.why_not(), reporter.why_not_at_first()) == (None, "pods were not listed yet")
    reporter.kubernetes = lambda: None
    away = StoreState(
        in_sync=True, connected=False, frozen=None, revision=1, problem="no route to host"
    )
    reporter.mailbox.put(StoreStateKey(), away)
    reporter.step()
    assert "no route to host" in reporter.health.report().why["etcd"]
    assert reporter.health.report().live


def test_an_allocator_that_does_not_come_round_is_not_alive(
    reporter: Reporter, clock: FakeClock
) -> None:
    reporter.mailbox.take_all(0)
    clock.advance(ALLOCATOR_SECONDS + 1)
    reporter.step()
    assert not reporter.health.report().live
    reporter.mailbox.take_all(0)
    assert reporter.health.report().live


def test_other_concerns_are_shown_under_their_names(reporter: Reporter) -> None:
    document = reporter.document()
    assert document["conflist"] == {"state": "written"}
    warnings = document["warnings"]
    assert isinstance(warnings, list)
    assert warnings[-1] == "somebody else's file"
