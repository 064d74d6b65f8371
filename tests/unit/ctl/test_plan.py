"""`felixctl plan` and an apply that is planned, on a store in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from felix_py.ctl import write
from felix_py.ctl.documents import read_all
from felix_py.ctl.errors import CommandError
from felix_py.ctl.plan import Plan, plan_deletions, plan_writes
from felix_py.ctl.plan_apply import Consent, NotAgreed
from felix_py.ctl.plan_view import as_json, lines
from tests.unit.ctl.memory_session import RESOURCES, MemorySession

NODE = {"bgp": {"ipv4Address": "10.0.1.1/24"}}
POOL = {"cidr": "10.244.0.0/16"}
ENDPOINT = {
    "orchestrator": "k8s",
    "node": "a1",
    "containerID": "c1",
    "pod": "web",
    "endpoint": "eth0",
    "ipNetworks": ["10.244.0.5/32"],
    "interfaceName": "cali1",
}


def text(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture
def session() -> MemorySession:
    """One node, one pool, one pod."""
    made = MemorySession()
    for path, kind, spec in (
        ("nodes/a1", "Node", NODE),
        ("ippools/main", "IPPool", POOL),
        ("workloadendpoints/default/a1-k8s-web-eth0", "WorkloadEndpoint", ENDPOINT),
    ):
        document = text(kind, path.rsplit("/", 1)[1], spec)
        document["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
        if kind == "WorkloadEndpoint":
            document["metadata"]["namespace"] = "default"
        made.put(RESOURCES + path, json.dumps(document).encode())
    return made


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes documents, answers `-f`."""

    def write_file(*documents: dict[str, Any]) -> list[str]:
        path = tmp_path / "changes.yaml"
        path.write_text("\n---\n".join(map(json.dumps, documents)), "utf-8")
        return [str(path)]

    return write_file


def planned(session: MemorySession, files: list[str]) -> Plan:
    return plan_writes(session.memory, read_all(files))


Files = Callable[..., list[str]]


def test_a_plan_writes_nothing_and_names_the_fields_that_change(
    session: MemorySession, file: Files
) -> None:
    before = session.memory.list("/").items
    plan = planned(session, file(text("IPPool", "main", POOL | {"natOutgoing": True})))
    assert session.memory.list("/").items == before
    told = list(lines(plan))
    assert told[0] == "IPPool(main): change"
    assert "    spec.natOutgoing: nothing -> true" in told
    assert not plan.loses
    assert plan.matters


def test_a_plan_that_loses_something_says_so_to_scripts(
    session: MemorySession, file: Files
) -> None:
    plan = planned(session, file(text("IPPool", "main", POOL | {"disabled": True})))
    document = as_json(plan)
    assert document["loses"] is True
    assert "no pod can start there" in json.dumps(document["effects"])
    assert any(line.startswith("LOST") for line in lines(plan))


def test_deleting_the_pool_is_planned_too(session: MemorySession, file: Files) -> None:
    [document] = read_all(file(text("IPPool", "main", POOL)))
    plan = plan_deletions(session.memory, [(document.key, document.title)])
    assert any("default/web 10.244.0.5" in each.examples for each in plan.effects)
    assert next(lines(plan)) == "IPPool(main): delete"


def test_what_apply_would_refuse_plan_refuses(session: MemorySession, file: Files) -> None:
    with pytest.raises(CommandError, match="blockSize is 26 and cannot become 24"):
        planned(session, file(text("IPPool", "main", POOL | {"blockSize": 24})))


def test_two_new_pools_that_overlap_are_refused_before_either_is_written(
    session: MemorySession, file: Files
) -> None:
    both = file(
        text("IPPool", "one", {"cidr": "10.9.0.0/16"}),
        text("IPPool", "two", {"cidr": "10.9.1.0/24"}),
    )
    with pytest.raises(CommandError, match="overlaps"):
        list(write.apply(session, both, ""))
    assert session.memory.get(f"{RESOURCES}ippools/one") is None


def test_what_reaches_no_further_than_itself_is_named_and_not_looked_at(
    session: MemorySession, file: Files
) -> None:
    """A policy whose tier comes with it could not be foreseen before the tier is there."""
    files = file(
        text("Tier", "mine", {"order": 10}),
        text("GlobalNetworkPolicy", "mine.one", {"tier": "mine", "selector": "all()"}),
        text("IPPool", "main", POOL),
    )
    told = list(lines(planned(session, files)))
    assert "Tier(mine): not planned, it reaches no further than itself" in told
    assert "IPPool(main): change" in told
    assert len(list(write.apply(session, files, ""))) == 3


def test_an_object_that_is_there_twice_is_refused(session: MemorySession, file: Files) -> None:
    with pytest.raises(CommandError, match="there twice"):
        planned(session, file(text("IPPool", "main", POOL), text("IPPool", "main", POOL)))


def test_a_script_applies_what_loses_nothing_as_ever(
    session: MemorySession, file: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files = file(
        text("IPPool", "main", POOL | {"natOutgoing": True}),
        text("IPPool", "more", {"cidr": "10.245.0.0/16"}),
    )
    assert list(write.apply(session, files, "")) == [
        "IPPool(main) changed",
        "IPPool(more) created",
    ]
    assert list(write.apply(session, files, "")) == [
        "IPPool(main) unchanged",
        "IPPool(more) unchanged",
    ]
    assert capsys.readouterr() == ("", "")


def test_a_script_is_refused_what_loses_something_unless_it_says_yes(
    session: MemorySession, file: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files = file(text("IPPool", "main", POOL | {"disabled": True}))
    with pytest.raises(NotAgreed, match="--yes"):
        list(write.apply(session, files, ""))
    assert "no pod can start there" in capsys.readouterr().err
    assert "disabled" not in session.stored("ippools/main")["spec"]
    assert list(write.apply(session, files, "", consent=Consent(yes=True))) == [
        "IPPool(main) changed"
    ]
    assert session.stored("ippools/main")["spec"]["disabled"] is True


def test_whoever_sits_there_is_asked_when_something_changes(
    session: MemorySession, file: Files
) -> None:
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    files = file(text("IPPool", "main", POOL | {"ipipMode": "Always"}))
    with pytest.raises(NotAgreed):
        list(write.apply(session, files, "", consent=Consent(ask=answer)))
    assert session.stored("ippools/main")["spec"].get("ipipMode") is None
    list(write.apply(session, files, "", consent=Consent(ask=answer)))
    assert session.stored("ippools/main")["spec"]["ipipMode"] == "Always"
    assert len(asked) == 2


def test_many_objects_are_written_in_several_steps(session: MemorySession, file: Files) -> None:
    many = [text("IPPool", f"p{n}", {"cidr": f"10.{n}.0.0/16"}) for n in range(120)]
    assert len(list(write.apply(session, file(*many), ""))) == 120
    assert session.stored("ippools/p119")["spec"]["cidr"] == "10.119.0.0/16"
