"""datastore backup and restore: one revision, whole or not at all, into an empty store alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from felix_py.ctl import datastore_backup
from felix_py.ctl.errors import CommandError
from felix_py.datastore.identity import ACCEPTED
from felix_py.datastore.keys import AUDIT, SessionKey
from felix_py.datastore.model import NodeName
from tests.unit.ctl.memory_session import RESOURCES, MemorySession

CLUSTER = f"{RESOURCES}clusterinformations/default"
SEEDED = "/felix-py/v1/seeded"


@pytest.fixture
def session() -> MemorySession:
    made = MemorySession()
    spec = {"clusterGUID": "a" * 32, "datastoreReady": True}
    document = {"kind": "ClusterInformation", "metadata": {"name": "default"}, "spec": spec}
    made.put(CLUSTER, json.dumps(document).encode())
    for number in range(120):
        made.put(f"/calico/ipam/v2/handle/net.{number}", b'{"block":{}}')
    made.put("/calico/odd", b"\xff\x00")
    made.put(SEEDED, b"[]")
    for path in (SessionKey(NodeName("a")).path, AUDIT, ACCEPTED):
        made.put(path, b"1")
    return made


def keys(session: MemorySession) -> dict[str, bytes]:
    return {i.key: i.value for i in session.memory.list("/").items}


def test_what_was_written_is_restored_without_what_daemons_say_of_themselves(
    session: MemorySession, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    assert "123 keys at revision" in datastore_backup.backup(session, file)
    assert file.stat().st_mode & 0o777 == 0o600
    other = MemorySession()
    assert "ipam recover" in datastore_backup.restore(other, file)
    expected = {k: v for k, v in keys(session).items() if k.startswith("/calico/") or k == SEEDED}
    assert keys(other) == expected
    found = other.memory.list("/").items
    newest = max(found, key=lambda item: item.mod_revision)
    assert newest.key == CLUSTER, "daemons hold still until all is there"


def test_a_store_that_has_keys_is_left_as_it_is(session: MemorySession, tmp_path: Path) -> None:
    datastore_backup.backup(session, tmp_path / "backup")
    before = keys(session)
    with pytest.raises(CommandError, match="is there already"):
        datastore_backup.restore(session, tmp_path / "backup")
    assert keys(session) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.rpartition("\n{")[0], "it is not whole"),
        (lambda text: text.replace('"felixPyBackup": 1', '"felixPyBackup": 2'), "is of format 2"),
        (lambda text: text.replace("/calico/odd", "/registry/odd"), "not a key of ours"),
        (lambda _: "", "is no backup of felixctl"),
        (lambda _: "[]\n", "is no backup of felixctl"),
    ],
)
def test_a_file_that_is_not_whole_writes_nothing(
    session: MemorySession, tmp_path: Path, change: object, said: str
) -> None:
    file = tmp_path / "backup"
    datastore_backup.backup(session, file)
    assert callable(change)
    file.write_text(change(file.read_text()))
    other = MemorySession()
    with pytest.raises(CommandError, match=said):
        datastore_backup.restore(other, file)
    assert keys(other) == {}


def test_a_backup_that_cannot_be_written_is_said_and_leaves_nothing(
    session: MemorySession, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="write the backup elsewhere"):
        datastore_backup.backup(session, tmp_path / "missing" / "backup")
    with pytest.raises(CommandError, match="cannot be read"):
        datastore_backup.restore(session, tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
