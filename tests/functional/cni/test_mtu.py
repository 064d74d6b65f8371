"""The MTU of pods, at both ends of their links, as iproute2 shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from felix_py.kernel import mtu_file
from tests.functional.cni.node import Call, CniNode
from tests.support import netns

pytestmark = [pytest.mark.root, pytest.mark.etcd]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, shim: Path) -> Iterator[CniNode]:
    with CniNode(tmp_path_factory.mktemp("node"), shim) as node:
        yield node


@pytest.fixture
def node(shared: CniNode) -> Iterator[CniNode]:
    """The module's node, without a word from felix; every test leaves it as empty as it was."""
    mtu_file.mtu_path(str(shared.directory / "state")).unlink(missing_ok=True)
    yield shared
    assert not shared.left_behind()


def ends(node: CniNode, added: dict[str, object], container: Call) -> tuple[int, int]:
    """The host side's and the pod side's MTU."""
    interfaces = added["interfaces"]
    assert isinstance(interfaces, list)
    link = node.links()[interfaces[0]["name"]]
    [pod] = netns.ip_json("link", "show", "eth0", namespace=Path(container.netns).name)
    return link["mtu"], pod["mtu"]


def test_a_pod_gets_what_felix_wrote_and_keeps_it_when_that_changes(node: CniNode) -> None:
    state_dir = str(node.directory / "state")
    mtu_file.write(state_dir, 1480)
    container = node.container()
    added = node.call("ADD", container)
    assert ends(node, added.json, container) == (1480, 1480)
    assert added.json["interfaces"][1]["mtu"] == 1480
    mtu_file.write(state_dir, 1450)
    assert node.call("CHECK", container, prevResult=added.json).exit_code == 0
    index = node.links()[added.json["interfaces"][0]["name"]]["ifindex"]
    assert node.call("ADD", container).json == added.json
    assert node.links()[added.json["interfaces"][0]["name"]]["ifindex"] == index
    newer = node.container()
    assert ends(node, node.call("ADD", newer).json, newer) == (1450, 1450)
    for each in (container, newer):
        assert node.call("DEL", each).exit_code == 0


def test_a_networks_own_mtu_wins(node: CniNode) -> None:
    container = node.container()
    added = node.call("ADD", container, mtu=1300)
    assert ends(node, added.json, container) == (1300, 1300)
    assert node.call("CHECK", container, mtu=1300, prevResult=added.json).exit_code == 0
    assert node.call("DEL", container).exit_code == 0


def test_without_a_word_from_felix_pods_get_what_fits_everywhere(node: CniNode) -> None:
    container = node.container()
    added = node.call("ADD", container)
    assert ends(node, added.json, container) == (1430, 1430)
    assert node.call("DEL", container).exit_code == 0
