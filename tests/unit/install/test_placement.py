"""On which nodes etcd's data lies: chosen once, and another choice is refused."""

from __future__ import annotations

from typing import Any

import pytest

from felix_py.install.errors import BadConfiguration
from felix_py.install.placement import LABEL, choose, unmarked

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
SOURCE = "ConfigMap felix-py-config"


def node(name: str, address: str = "10.0.0.1", *labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": dict.fromkeys(labels, "")},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }


def test_the_first_control_plane_by_name_is_taken() -> None:
    nodes = [node("w"), node("cp-2", "10.0.0.3", CONTROL_PLANE), node("cp-1", "::1", CONTROL_PLANE)]
    [member] = choose(nodes, (), SOURCE)
    assert (member.node, member.peer) == ("cp-1", "cp-1=https://[::1]:12380")
    assert unmarked(nodes, [member]) == ["cp-1"]


def test_a_marked_node_stays_whatever_control_planes_come() -> None:
    nodes = [node("a", "10.0.0.2", CONTROL_PLANE), node("b", "10.0.0.3", LABEL)]
    assert [member.node for member in choose(nodes, (), SOURCE)] == ["b"]
    assert unmarked(nodes, choose(nodes, (), SOURCE)) == []


def test_named_nodes_are_taken_and_absent_ones_are_refused() -> None:
    nodes = [node("a"), node("b"), node("c")]
    assert [member.node for member in choose(nodes, ("c", "a", "b"), SOURCE)] == ["a", "b", "c"]
    with pytest.raises(BadConfiguration, match="field etcd_nodes: there is no node d"):
        choose(nodes, ("d",), SOURCE)


def test_data_does_not_move_by_an_edit() -> None:
    nodes = [node("a", "10.0.0.1", LABEL), node("b")]
    with pytest.raises(BadConfiguration, match="says b, but etcd's data is on a"):
        choose(nodes, ("b",), SOURCE)


def test_a_cluster_that_shows_no_control_plane_is_told_to_name_a_node() -> None:
    with pytest.raises(BadConfiguration, match="name the node that shall hold etcd's data"):
        choose([node("a")], (), SOURCE)
