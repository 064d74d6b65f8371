"""Which MTU a new pod gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cni.mtu import NodeMtu
from cni.request import parse
from felix_py.kernel import mtu_file
from tests.unit.cni.requests import raw


def test_the_networks_mtu_wins_over_the_nodes_and_that_over_felixs(tmp_path: Path) -> None:
    mtu_file.write(str(tmp_path), 1480)
    node, silent = NodeMtu(1400, str(tmp_path)), NodeMtu(0, str(tmp_path))
    assert node.fixed(parse(raw(mtu=1300))) == 1300
    assert node.fixed(parse(raw())) == 1400
    assert (silent.fixed(parse(raw())), silent.found()) == (0, 1480)


def test_before_felix_looked_pods_get_what_fits_every_encapsulation(tmp_path: Path) -> None:
    assert NodeMtu(0, str(tmp_path / "none")).found() == 1430


@pytest.mark.parametrize("text", ["", "fast", "-1", "12", "70000", "1480.5"])
def test_a_file_that_says_no_mtu_is_no_file(tmp_path: Path, text: str) -> None:
    mtu_file.mtu_path(str(tmp_path)).write_text(text, "ascii")
    assert mtu_file.read(str(tmp_path)) is None


def test_the_file_is_replaced_only_when_it_says_something_else(tmp_path: Path) -> None:
    assert mtu_file.write(str(tmp_path), 1480)
    assert not mtu_file.write(str(tmp_path), 1480)
    assert mtu_file.write(str(tmp_path), 1450)
    assert mtu_file.mtu_path(str(tmp_path)).read_text("ascii") == "1450\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mtu"]
