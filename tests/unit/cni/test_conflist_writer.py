from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from cni.conflist import CONFLIST_NAME
from cni.conflist_writer import ANNOUNCEMENT_SECONDS, SETTLE_SECONDS, ConflistWriter
from cni.settings import CniSettings
from felix_py.runtime.clock import FakeClock

OTHERS = '{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "flannel"}]}'
SILENT: dict[str, Any] = {"store": {"inSync": True}, "sessions": [{"peer": "p", "state": "down"}]}
ANNOUNCED: dict[str, Any] = {
    "store": {"inSync": True},
    "sessions": [{"peer": "p", "state": "up", "announcedAll": True}],
}
ALONE: dict[str, Any] = {"store": {"inSync": True}, "sessions": []}


@dataclass
class Node:
    """A node whose facts are set by hand, and fresh servers on it."""

    directory: Path
    why_not: str | None = None
    bgp: dict[str, Any] | None = field(default_factory=lambda: dict(ANNOUNCED))
    clock: FakeClock = field(default_factory=FakeClock)

    @property
    def file(self) -> Path:
        """The conflist."""
        return self.directory / "net.d" / CONFLIST_NAME

    @property
    def plugins(self) -> list[str]:
        """The conflist's plugins."""
        return [each["type"] for each in json.loads(self.file.read_text())["plugins"]]

    def server(self, *, bgp_is_on: bool = True) -> ConflistWriter:
        """A server that starts with an empty memory."""
        settings = CniSettings(
            conf_dir=str(self.directory / "net.d"), bin_dir=str(self.directory / "bin")
        )
        bgp = (lambda: self.bgp) if bgp_is_on else None
        return ConflistWriter(settings, lambda: self.why_not, bgp, self.clock)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "net.d").mkdir()
    (tmp_path / "bin").mkdir()
    with structlog.testing.capture_logs():
        yield Node(tmp_path)


def test_it_is_written_when_in_sync_and_announced(node: Node) -> None:
    server = node.server()
    node.why_not, node.bgp = "etcd is away", SILENT
    assert not server.step()
    node.why_not = None
    assert not server.step()
    assert server.report()["state"] == "waiting: no BGP session is up yet"
    assert list(node.file.parent.iterdir()) == []
    node.bgp = ANNOUNCED
    assert server.step()
    assert node.plugins == ["felix-py"]
    assert node.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in node.file.parent.iterdir()] == [CONFLIST_NAME]
    assert server.report()["state"] == "written"
    assert server.warnings() == []


def test_the_announcement_is_waited_for_so_long_counted_from_in_sync(node: Node) -> None:
    server = node.server()
    node.why_not, node.bgp = "etcd is away", SILENT
    server.step()
    node.clock.advance(ANNOUNCEMENT_SECONDS * 2)
    node.why_not = None
    assert not server.step()
    node.clock.advance(ANNOUNCEMENT_SECONDS - 1)
    assert not server.step()
    node.clock.advance(1)
    assert server.step()
    assert node.plugins == ["felix-py"]


def test_a_node_without_any_peer_must_have_been_so_for_a_while(node: Node) -> None:
    server = node.server()
    node.bgp = ALONE
    assert not server.step()
    assert server.report()["state"] == "waiting: no peer is known yet"
    node.clock.advance(SETTLE_SECONDS - 1)
    node.bgp = SILENT
    assert not server.step()
    node.bgp = ALONE
    assert not server.step()
    node.clock.advance(SETTLE_SECONDS - 1)
    assert not server.step()
    node.clock.advance(1)
    assert server.step()


def test_peers_that_may_still_come_are_waited_for_a_while(node: Node) -> None:
    server = node.server()
    down = {"peer": "q", "state": "down"}
    node.bgp = {**ANNOUNCED, "sessions": [*ANNOUNCED["sessions"], down]}
    assert not server.step()
    assert server.report()["state"] == "waiting: the session with q is not up yet"
    node.clock.advance(SETTLE_SECONDS)
    assert server.step()


def test_without_bgp_there_is_no_announcement_to_wait_for(node: Node) -> None:
    node.bgp = None
    assert node.server(bgp_is_on=False).step()
    assert node.file.exists()


def test_neither_a_restart_nor_an_outage_takes_it_away(node: Node) -> None:
    server = node.server()
    server.step()
    before = node.file.stat().st_ino
    node.why_not, node.bgp = "etcd is away", None
    assert server.step()
    assert node.server().step()
    assert node.file.stat().st_ino == before


def test_a_lost_one_comes_back(node: Node) -> None:
    server = node.server()
    server.step()
    node.file.unlink()
    assert server.step()
    assert node.file.exists()


@pytest.mark.parametrize("text", [OTHERS, "", "{"])
def test_another_networks_file_at_our_name_is_never_overwritten(node: Node, text: str) -> None:
    node.file.write_text(text)
    server = node.server()
    assert not server.step()
    assert node.file.read_text() == text
    [problem] = server.warnings()
    assert str(node.file) in problem
    assert "another network's" in problem
    node.file.unlink()
    assert server.step()
    assert server.warnings() == []


def test_an_operators_own_list_for_us_is_left_as_it_is(node: Node) -> None:
    text = '{"plugins": [{"type": "felix-py"}, {"type": "tuning"}]}'
    node.file.write_text(text)
    server = node.server()
    assert server.step()
    assert node.file.read_text() == text
    assert server.warnings() == []


def test_a_network_that_comes_first_by_name_is_named(node: Node) -> None:
    (node.file.parent / "05-other.conflist").write_text(OTHERS)
    server = node.server()
    assert server.step()
    [problem] = server.warnings()
    assert "05-other.conflist" in problem
    assert node.file.exists()


def test_plugins_of_the_host_are_chained_as_they_come_and_go(node: Node) -> None:
    portmap, bandwidth = node.directory / "bin" / "portmap", node.directory / "bin" / "bandwidth"
    portmap.touch(0o755)
    bandwidth.touch(0o644)
    server = node.server()
    server.step()
    assert node.plugins == ["felix-py", "portmap"]
    bandwidth.chmod(0o755)
    server.step()
    assert node.plugins == ["felix-py", "portmap", "bandwidth"]
    portmap.unlink()
    node.server().step()
    assert node.plugins == ["felix-py", "bandwidth"]


def test_a_folder_that_cannot_be_written_is_named_and_tried_again(node: Node) -> None:
    node.file.parent.rmdir()
    node.file.parent.touch()
    server = node.server()
    assert not server.step()
    [problem] = server.warnings()
    assert str(node.file.parent) in problem
    node.file.parent.unlink()
    assert server.step()
    assert server.warnings() == []
