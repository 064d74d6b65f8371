"""What a daemon remembers of the store over restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from felix_py.datastore.errors import StoreWentBack
from felix_py.datastore.history import History


def test_a_restart_remembers(tmp_path: Path) -> None:
    history = History(str(tmp_path), "bgp")
    assert (history.guid, history.highest) == ("", 0)
    history.observe("g", 10)
    history.observe("g", 12)
    history.flush()
    again = History(str(tmp_path), "bgp")
    assert (again.guid, again.highest) == ("g", 12)
    assert History(str(tmp_path), "felix").highest == 0


def test_a_lower_revision_or_another_guid_is_refused_and_not_kept(tmp_path: Path) -> None:
    history = History(str(tmp_path), "bgp")
    history.observe("g", 10)
    with pytest.raises(StoreWentBack, match="revision 9"):
        history.observe("g", 9)
    with pytest.raises(StoreWentBack, match="cluster h"):
        history.observe("h", 11)
    assert (history.guid, history.highest) == ("g", 10)


def test_accepting_starts_over_and_keeps_the_nonce(tmp_path: Path) -> None:
    history = History(str(tmp_path), "bgp")
    history.observe("g", 10)
    history.accept("h", 3, "n")
    history.observe("h", 4)
    again = History(str(tmp_path), "bgp")
    assert again.guid == "h"
    assert again.knows_nonce("n")
    assert not again.knows_nonce("m")


def test_writes_are_coalesced(tmp_path: Path) -> None:
    history = History(str(tmp_path), "bgp")
    history.observe("g", 1)
    path = tmp_path / "history" / "bgp.json"
    first = path.read_text()
    for revision in range(2, 100):
        history.observe("g", revision)
    assert path.read_text() == first
    history.flush()
    assert History(str(tmp_path), "bgp").highest == 99


@pytest.mark.parametrize("content", ["", "{", "[]", '{"highest":"x"}'])
def test_an_unreadable_file_counts_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "history" / "bgp.json"
    path.parent.mkdir()
    path.write_text(content)
    assert History(str(tmp_path), "bgp").highest == 0
