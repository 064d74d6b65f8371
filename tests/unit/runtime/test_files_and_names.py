"""What a daemon keeps on disk: its status, the node's name."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from felix_py.runtime import node_name, status_file
from felix_py.runtime.settings import BadSettings, NodeSettings
from felix_py.runtime.version import VERSION


def test_a_status_is_replaced_whole_and_read_back(tmp_path: Path) -> None:
    assert status_file.read(str(tmp_path), "felix") is None
    status_file.write(str(tmp_path), "felix", {"a": 1})
    status_file.write(str(tmp_path), "felix", {"a": 2})
    assert status_file.read(str(tmp_path), "felix") == {"a": 2}
    names = sorted(path.name for path in (tmp_path / "status").iterdir())
    assert names == ["felix.alive", "felix.json"]
    assert status_file.status_path(str(tmp_path), "felix").stat().st_mode & 0o777 == 0o640


def test_who_wrote_a_status_lives_as_long_as_its_process_wherever_that_is(tmp_path: Path) -> None:
    assert not status_file.runs(str(tmp_path), "felix")
    code = (
        "import sys, time; from felix_py.runtime import status_file; "
        "status_file.write(sys.argv[1], 'felix', {}); print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=-1) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert status_file.runs(str(tmp_path), "felix")
        writer.kill()
    assert not status_file.runs(str(tmp_path), "felix")
    assert status_file.read(str(tmp_path), "felix") == {}


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_status_that_is_not_an_object_counts_as_none(tmp_path: Path, text: str) -> None:
    path = status_file.status_path(str(tmp_path), "felix")
    path.parent.mkdir()
    path.write_text(text, "utf-8")
    assert status_file.read(str(tmp_path), "felix") is None


def settings(tmp_path: Path, name: str = "") -> NodeSettings:
    return NodeSettings(name=name, state_dir=str(tmp_path / "state"))


def test_the_host_name_becomes_the_nodes_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Worker-1")
    assert node_name.settle(settings(tmp_path)) == "worker-1"
    monkeypatch.setattr("socket.gethostname", lambda: "renamed")
    assert node_name.settle(settings(tmp_path)) == "worker-1"
    assert node_name.host_name_differs("worker-1") == "renamed"
    assert node_name.host_name_differs("renamed") is None


def test_a_configured_name_that_contradicts_the_kept_one_is_refused(tmp_path: Path) -> None:
    assert node_name.settle(settings(tmp_path, "a.example")) == "a.example"
    with pytest.raises(BadSettings, match=r"started as 'a\.example'"):
        node_name.settle(settings(tmp_path, "b"))


@pytest.mark.parametrize("name", ["Upper", "-a", "a_b", "a" * 254])
def test_a_name_that_is_no_dns_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSettings, match=r"node\.name"):
        node_name.settle(settings(tmp_path, name))


def test_the_machine_id_is_32_hex_digits_or_told_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "machine-id"
    monkeypatch.setattr(node_name, "MACHINE_ID", path)
    for text in (None, "", "xyz"):
        if text is not None:
            path.write_text(text, "ascii")
        with pytest.raises(BadSettings, match="systemd-machine-id-setup"):
            node_name.machine_id()
    path.write_text("0123456789abcdef0123456789abcdef\n", "ascii")
    assert node_name.machine_id() == "0123456789abcdef0123456789abcdef"


def test_the_version_shown_is_the_packages() -> None:
    parser = configparser.ConfigParser()
    parser.read(Path(__file__).parents[3] / "setup.cfg")
    assert parser["metadata"]["version"] == VERSION
