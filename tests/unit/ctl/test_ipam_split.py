"""ipam split: one pool becomes equal parts in one transaction, or stays as it is."""

from __future__ import annotations

import json

import pytest

from felix_py.ctl import ipam_split
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from tests.unit.ctl.memory_session import RESOURCES, MemorySession

POOLS = f"{RESOURCES}ippools/"


@pytest.fixture
def session() -> MemorySession:
    made = MemorySession()
    meta = {"name": "main", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = {"cidr": "10.244.0.0/24", "blockSize": 26, "natOutgoing": True, "ipipMode": "Always"}
    document = {"kind": "IPPool", "metadata": {**meta, "labels": {"a": "b"}}, "spec": spec}
    made.put(f"{POOLS}main", json.dumps(document).encode())
    return made


def names(session: MemorySession) -> list[str]:
    return [item.key.removeprefix(POOLS) for item in session.memory.list(POOLS).items]


@pytest.mark.parametrize(("name", "cidr"), [("main", ""), ("", "10.244.0.0/24")])
def test_the_parts_have_all_that_the_pool_had_but_its_cidr(
    session: MemorySession, name: str, cidr: str
) -> None:
    said = ipam_split.split(session, 2, name, cidr)
    assert said == ["IPPool(split-main-0) 10.244.0.0/25", "IPPool(split-main-1) 10.244.0.128/25"]
    assert names(session) == ["split-main-0", "split-main-1"]
    found = session.stored("ippools/split-main-1")
    assert found["spec"] == {
        "cidr": "10.244.0.128/25",
        "blockSize": 26,
        "natOutgoing": True,
        "ipipMode": "Always",
    }
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["metadata"]["uid"] != "u"
    revisions = {item.mod_revision for item in session.memory.list(POOLS).items}
    assert len(revisions) == 1, "one transaction"


@pytest.mark.parametrize("parts", [0, 1, 3, 64, -2])
def test_parts_that_do_not_halve_a_pool_are_refused(session: MemorySession, parts: int) -> None:
    with pytest.raises(CommandError, match="must be 2, 4, 8, 16 or 32"):
        ipam_split.split(session, parts, "main", "")


def test_parts_smaller_than_blocks_are_refused(session: MemorySession) -> None:
    with pytest.raises(CommandError, match="smaller than its blocks"):
        ipam_split.split(session, 8, "main", "")
    assert names(session) == ["main"]


def test_which_pool_must_be_said_and_be_there(session: MemorySession) -> None:
    with pytest.raises(CommandError):
        ipam_split.split(session, 2, "", "")
    with pytest.raises(NotThere):
        ipam_split.split(session, 2, "other", "")


def test_a_part_that_is_there_already_stops_it(session: MemorySession) -> None:
    session.put(f"{POOLS}split-main-0", b"{}")
    with pytest.raises(Conflict, match="split-main-0"):
        ipam_split.split(session, 2, "main", "")
    assert names(session) == ["main", "split-main-0"]
