"""Which nodes there are is kept on the host, and read by who must not miss one."""

from __future__ import annotations

from pathlib import Path

from felix_py.agent.managers.roster import RosterManager
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.datastore import roster
from felix_py.datastore.model import Metadata, Node, NodeName, Stored

A, B = NodeName("a"), NodeName("b")


def snapshot(*names: NodeName) -> Snapshot:
    nodes = {name: Stored(Node(Metadata(name)), b"", 1, 1) for name in names}
    return Snapshot(me=A, nodes=nodes)


def kept(run_dir: Path) -> set[NodeName]:
    return set(roster.read(str(run_dir)) or ())


def test_names_are_written_when_they_change_and_not_too_often(tmp_path: Path) -> None:
    manager = RosterManager(lambda names: roster.write(str(tmp_path), names))
    assert not kept(tmp_path)
    manager.decide(Dirty(nodes=True), snapshot(A))
    manager.apply(0.0, (), sweep=False)
    assert kept(tmp_path) == {A}
    manager.decide(Dirty(nodes=True), snapshot(A, B))
    manager.apply(0.5, (), sweep=False)
    assert kept(tmp_path) == {A}
    manager.apply(1.5, (), sweep=False)
    assert kept(tmp_path) == {A, B}
    manager.decide(Dirty(nodes=True), snapshot(B))
    manager.apply(3.0, (), sweep=False)
    assert kept(tmp_path) == {B}


def test_a_disk_that_refuses_is_tried_again() -> None:
    answers: list[OSError | None] = [OSError("full"), None]

    def write(_: frozenset[NodeName]) -> None:
        error = answers.pop(0)
        if error is not None:
            raise error

    manager = RosterManager(write)
    manager.decide(Dirty(everything=True), snapshot(A))
    assert not manager.apply(0.0, (), sweep=False)
    assert manager.apply(2.0, (), sweep=False)
    assert manager.report() == {"nodes": 1}
