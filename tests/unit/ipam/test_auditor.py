"""One node audits for all: what stood for the quarantine is put right by who may, and by nobody else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from felix_py.datastore.keys import AUDIT
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import HandleId, NodeName
from felix_py.runtime.clock import FakeClock
from ipam.audit_report import MOST_TOLD, Aged, Report, decode, encode
from ipam.auditor import TAKEOVER_LOOKS, Auditor
from ipam.findings import Finding, Problem
from tests.unit.ipam.cluster import Cluster
from tests.unit.ipam.test_audit import endpoint, look, made
from tests.unit.ipam.test_mender import orphan

__all__ = ["made"]

QUARANTINE = 900.0
ORPHAN = "/calico/ipam/v2/handle/gone"


@dataclass
class Node:
    """One node's auditor, its clock, and what lives there."""

    store: MemoryStore
    name: str
    clock: FakeClock = field(default_factory=FakeClock)
    living: set[HandleId] = field(default_factory=set)
    trusts: bool = True

    def __post_init__(self) -> None:
        self.auditor = Auditor(
            self.store,
            NodeName(self.name),
            self.clock,
            lambda: self.living,
            lambda: self.trusts,
            period_seconds=600,
            quarantine_seconds=QUARANTINE,
        )

    def look(self, after: float = 600.0) -> None:
        self.clock.advance(after)
        self.auditor.step()


def leader(store: MemoryStore) -> str:
    note = store.get(AUDIT)
    assert note is not None
    return str(json.loads(note.value)["leader"])


def leak(made: Cluster) -> None:
    made.store.delete(endpoint("one").key.path)


def leaked(made: Cluster) -> bool:
    return any(each.problem is Problem.LEAKED for each in look(made).findings)


def test_what_stood_for_the_quarantine_is_put_right_and_not_before(made: Cluster) -> None:
    orphan(made)
    node = Node(made.store, "b")
    node.look()
    node.look(QUARANTINE - 1)
    assert made.store.get(ORPHAN) is not None
    assert node.auditor.report()["mended"] == 0
    node.look(1)
    assert made.store.get(ORPHAN) is None
    assert node.auditor.report()["mended"] == 1
    assert node.auditor.warnings() == []


def test_what_changed_begins_its_quarantine_anew(made: Cluster) -> None:
    orphan(made)
    node = Node(made.store, "b")
    node.look()
    orphan(made)
    node.look(QUARANTINE)
    assert made.store.get(ORPHAN) is not None
    node.look(QUARANTINE)
    assert made.store.get(ORPHAN) is None


def test_a_leaked_lease_is_released_by_the_node_that_it_names(made: Cluster) -> None:
    leak(made)
    auditing, owner = Node(made.store, "b"), Node(made.store, "a")
    auditing.look()
    auditing.look(QUARANTINE)
    assert leaked(made)
    owner.look()
    assert not leaked(made)


def test_a_lease_with_which_a_pod_lives_is_kept_and_named(made: Cluster) -> None:
    leak(made)
    auditing, owner = Node(made.store, "b"), Node(made.store, "a")
    owner.living = {HandleId("net.c-one")}
    auditing.look()
    auditing.look(QUARANTINE)
    owner.look()
    assert leaked(made)
    assert owner.auditor.warnings() == [
        "10.0.0.0 is a living pod's (net.c-one) whose endpoint is gone: recreate it"
    ]


def test_the_lease_of_a_node_that_is_gone_is_released_by_who_audits(made: Cluster) -> None:
    leak(made)
    made.store.delete("/calico/resources/v3/projectcalico.org/nodes/a")
    node = Node(made.store, "b")
    node.look()
    node.look(QUARANTINE)
    assert not leaked(made)


def test_one_audits_for_all_and_another_takes_over_when_it_is_gone(made: Cluster) -> None:
    first, second = Node(made.store, "a"), Node(made.store, "b")
    first.look()
    second.look()
    assert leader(made.store) == "a"
    for _ in range(TAKEOVER_LOOKS - 1):
        second.look()
    first.look()
    second.look()
    assert leader(made.store) == "a"
    for _ in range(TAKEOVER_LOOKS):
        second.look()
    assert leader(made.store) == "b"
    first.look()
    assert leader(made.store) == "b"


def test_nothing_is_done_while_the_store_is_not_trusted(made: Cluster) -> None:
    orphan(made)
    node = Node(made.store, "b")
    node.look()
    node.trusts = False
    node.look(QUARANTINE)
    node.trusts = True
    node.look(0)
    assert made.store.get(ORPHAN) is not None


def test_what_nobody_may_put_right_is_warned_of(made: Cluster) -> None:
    made.pool("v4", "10.9.0.0/28", 29)
    node = Node(made.store, "b")
    node.look()
    assert node.auditor.warnings() == []
    node.look(QUARANTINE)
    (said,) = node.auditor.warnings()
    assert said.startswith("the audit of addresses found address outside any pool 10.0.0.0")


def test_a_report_is_read_as_it_was_written_and_is_bounded(made: Cluster) -> None:
    leak(made)
    (found,) = look(made).findings
    many = tuple(Aged(found, 5) for _ in range(MOST_TOLD + 3))
    read = decode(encode(Report("a", 3, 9, "2026-01-01T00:00:00Z", many, mended=1)))
    assert read is not None
    assert (read.leader, read.looks, read.revision, read.untold, read.mended) == ("a", 3, 9, 3, 1)
    assert len(read.found) == MOST_TOLD
    assert read.found[0] == Aged(found, 5)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"leader":1}', b'{"leader":"a","looks":"x"}'])
def test_a_note_that_is_none_is_replaced(made: Cluster, raw: bytes) -> None:
    made.store.put(AUDIT, raw)
    assert decode(raw) is None
    Node(made.store, "b").look()
    assert leader(made.store) == "b"


def test_a_finding_that_cannot_be_read_is_left_out() -> None:
    whole = json.loads(
        encode(Report("a", 1, 1, found=(Aged(Finding(Problem.LEAKED, "x", "", ""), 1),)))
    )
    whole["findings"] += [7, {}, {**whole["findings"][0], "problem": "nonsense"}]
    read = decode(json.dumps(whole).encode())
    assert read is not None
    assert len(read.found) == 1
