"""On which nodes etcd's data lies: chosen once, marked by a label, never moved by us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from felix_py.install.configuration import ETCD_NODES
from felix_py.install.errors import BadConfiguration
from felix_py.install.kept_secrets import Member

LABEL = "felix-py.io/etcd"
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

Node = Mapping[str, Any]


def choose(nodes: Sequence[Node], wanted: Sequence[str], source: str) -> list[Member]:
    """The members, in the order of their names. Raises BadConfiguration.

    Nodes that carry the label hold data: another choice is refused, because data does not move.
    """
    by_name = {_name(node): node for node in nodes}
    where = f"{source}, field {ETCD_NODES}"
    marked = sorted(name for name, node in by_name.items() if LABEL in _labels(node))
    chosen = sorted(wanted) or marked or _first_control_plane(by_name)
    if not chosen:
        raise BadConfiguration(
            f"{where}: is empty and no node has the label {CONTROL_PLANE[0]}; name the node that shall "
            "hold etcd's data"
        )
    absent = [name for name in chosen if name not in by_name]
    if absent:
        raise BadConfiguration(f"{where}: there is no node {', '.join(absent)} in this cluster")
    if marked and not set(marked) <= set(chosen):
        raise BadConfiguration(
            f"{where}: says {', '.join(chosen)}, but etcd's data is on {', '.join(marked)}; write that, "
            "or move the data first (docs/kubernetes.md)"
        )
    return [Member(name, _address(by_name[name])) for name in chosen]


def unmarked(nodes: Sequence[Node], members: Iterable[Member]) -> list[str]:
    """Members whose node has no label yet."""
    marked = {_name(node) for node in nodes if LABEL in _labels(node)}
    return [member.node for member in members if member.node not in marked]


def _first_control_plane(nodes: Mapping[str, Node]) -> list[str]:
    found = [
        name for name in sorted(nodes) if any(k in _labels(nodes[name]) for k in CONTROL_PLANE)
    ]
    return found[:1]


def _address(node: Node) -> str:
    for entry in (node.get("status") or {}).get("addresses") or ():
        if entry.get("type") == "InternalIP":
            return str(entry["address"])
    raise BadConfiguration(f"node {_name(node)} has no InternalIP, so that etcd cannot be there")


def _name(node: Node) -> str:
    return str(node["metadata"]["name"])


def _labels(node: Node) -> Mapping[str, str]:
    return node["metadata"].get("labels") or {}
