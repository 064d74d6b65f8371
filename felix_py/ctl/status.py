"""`felixctl status`: this node from its files (works with etcd away), or the fleet from etcd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from felix_py.ctl import output
from felix_py.ctl.connection import Session
from felix_py.ctl.findings import CONTROLLERS, DAEMONS, mapping, mappings, problems, state_of
from felix_py.datastore.codec import decode
from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.keys import OWN_NODES, ControllersKey, StatusKey, parse
from felix_py.datastore.model_own import DaemonStatus
from felix_py.runtime import status_file

Documents = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class NodeStatus:
    """One node: its daemons' documents by name, and which of them run (None: not known from here)."""

    node: str
    documents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    running: dict[str, bool] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Everything that is wrong on this node."""
        return [
            text
            for daemon in DAEMONS
            for text in problems(
                daemon, self.documents.get(daemon), running=self.running.get(daemon, True)
            )
        ]

    def as_json(self) -> dict[str, Any]:
        """What `-o json` shows of the node."""
        return {
            "node": self.node,
            "daemons": {
                daemon: {
                    "state": self.state(daemon),
                    "status": self.documents.get(daemon),
                }
                for daemon in DAEMONS
            },
            "problems": self.problems(),
        }

    def state(self, daemon: str) -> str:
        """One word for a daemon."""
        return state_of(self.documents.get(daemon), running=self.running.get(daemon, True))


def status(session: Session, form: output.PlainForm, *, fleet: bool) -> bool:
    """Show it; True when nothing is wrong."""
    nodes = _fleet(session) if fleet else [_here(session)]
    found = {node.node: node.problems() for node in nodes}
    if cluster := _controllers(session, nodes):
        found["cluster"] = cluster
    if form is output.PlainForm.JSON:
        document: Any = [node.as_json() for node in nodes]
        print(output.json_text(document if fleet else {**document[0], "cluster": cluster}), end="")
    elif fleet:
        _show_fleet(nodes, found)
    else:
        _show_node(nodes[0], [*found[nodes[0].node], *cluster])
    return bool(nodes) and not any(found.values())


def _controllers(session: Session, nodes: Sequence[NodeStatus]) -> list[str]:
    """What the controllers of a Kubernetes say is wrong; nothing where there are none.

    Not asked where the daemons say that etcd is away: status must work then, and at once.
    """
    stores = [mapping(doc.get("store")) for node in nodes for doc in node.documents.values()]
    if not any(store.get("connected", True) for store in stores):
        return []
    key = ControllersKey()
    try:
        with session.store() as store:
            item = store.get(key.path)
    except (StoreAway, StoreRefused):
        return []
    value = None if item is None else decode(key, item.value)
    document = value.document if isinstance(value, DaemonStatus) else None
    return [] if document is None else problems(CONTROLLERS, document, running=True)


def _here(session: Session) -> NodeStatus:
    run_dir = session.settings().node.run_dir
    here = NodeStatus(session.node_name())
    for daemon in DAEMONS:
        document = status_file.read(run_dir, daemon)
        if document is not None:
            here.documents[daemon] = document
            here.running[daemon] = status_file.runs(run_dir, daemon)
    return here


def _fleet(session: Session) -> list[NodeStatus]:
    nodes: dict[str, NodeStatus] = {}
    with session.store() as store:
        for item in store.list(OWN_NODES).items:
            key = parse(item.key)
            if isinstance(key, StatusKey):
                value = decode(key, item.value)
                node = nodes.setdefault(key.node, NodeStatus(key.node))
                if isinstance(value, DaemonStatus):
                    node.documents[key.daemon] = value.document
    return sorted(nodes.values(), key=lambda node: node.node)


def _show_node(node: NodeStatus, found: Sequence[str]) -> None:
    print(f"node {node.node}\n")
    output.table(
        ("DAEMON", "STATE", "PID", "VERSION", "SINCE"),
        [
            (daemon, node.state(daemon), *_cells(node.documents.get(daemon, {})))
            for daemon in DAEMONS
        ],
    )
    _show_felix(node.documents.get("felix", {}))
    _show_sessions(node.documents.get("bgp", {}))
    print()
    _show_problems(found)


def _cells(document: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        str(document.get("pid", "-")),
        str(document.get("version", "-")),
        str(document.get("startedAt", "-")),
    )


def _show_felix(document: Mapping[str, Any]) -> None:
    if not document:
        return
    routes = mapping(document.get("routes"))
    print(
        f"\nendpoints {document.get('endpoints', 0)}, routes {routes.get('installed', 0)} of "
        f"{routes.get('wanted', 0)} installed, blocks {', '.join(document.get('blocks') or ()) or 'none'}"
    )
    for family, found in sorted(mapping(document.get("nodeAddress")).items()):
        entry = mapping(found)
        print(f"{family} address {entry.get('address') or 'none'} ({entry.get('found')})")


def _show_sessions(document: Mapping[str, Any]) -> None:
    sessions = list(mappings(document.get("sessions")))
    if document:
        learned = mapping(document.get("learned"))
        print(
            f"\nlearned routes {learned.get('installed', 0)} of {learned.get('wanted', 0)} installed, "
            f"announced {', '.join(document.get('announced') or ()) or 'nothing'}"
        )
    if sessions:
        print()
        output.table(
            ("PEER", "AS", "STATE", "RECEIVED", "STALE", "SOURCE"),
            [
                tuple(
                    str(entry.get(name, "-"))
                    for name in ("peer", "peerAs", "state", "received", "stale", "source")
                )
                for entry in sessions
            ],
        )


def _show_fleet(nodes: Sequence[NodeStatus], found: Mapping[str, Sequence[str]]) -> None:
    rows = []
    for node in nodes:
        sessions = list(mappings(node.documents.get("bgp", {}).get("sessions")))
        up = sum(entry.get("state") == "up" for entry in sessions)
        routes = mapping(node.documents.get("felix", {}).get("routes"))
        states = [node.state(daemon) for daemon in DAEMONS]
        counts = (f"{up}/{len(sessions)}", str(routes.get("installed", "-")))
        rows.append((node.node, *states, *counts, str(len(found[node.node]))))
    output.table(
        ("NODE", *(daemon.upper() for daemon in DAEMONS), "SESSIONS", "ROUTES", "PROBLEMS"), rows
    )
    print()
    _show_problems([f"{name}: {text}" for name, texts in found.items() for text in texts])


def _show_problems(found: Sequence[str]) -> None:
    if not found:
        print("nothing is wrong")
    for text in found:
        print(f"! {text}")
