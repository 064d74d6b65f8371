"""The CNI server on an etcd that went back to a snapshot: frozen, accepted, killed meanwhile."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from felix_py.datastore import roster
from felix_py.datastore.identity import CLUSTER
from felix_py.datastore.keys import RECOVERY
from felix_py.datastore.model import NodeName
from tests.functional.cni.node import Call, CniNode
from tests.functional.cni.runtime import Result

pytestmark = [pytest.mark.root, pytest.mark.etcd]


@pytest.fixture
def node(tmp_path: Path, shim: Path) -> Iterator[CniNode]:
    with CniNode(tmp_path, shim) as node:
        yield node


def _until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def _frozen(node: CniNode) -> bool:
    text = (node.directory / "run/status/cni.json").read_text("utf-8")
    return bool(json.loads(text)["store"]["frozen"])


def _cluster(node: CniNode) -> dict[str, Any]:
    [cluster] = node.etcd.dump(CLUSTER.path).values()
    found: dict[str, Any] = json.loads(cluster)
    return found


def _data(node: CniNode) -> dict[str, str]:
    """All keys but the gate's and the recovery's."""
    dump = node.etcd.dump()
    return {k: v for k, v in dump.items() if k != CLUSTER.path and not k.startswith(RECOVERY)}


def _accept(node: CniNode) -> None:
    """As `felixctl datastore accept`; the gate, which the node closed, is opened."""
    _until(lambda: not _cluster(node)["spec"]["datastoreReady"])
    cluster = _cluster(node)
    cluster["spec"]["datastoreReady"] = True
    node.etcd.put(CLUSTER.path, json.dumps(cluster))
    guid = cluster["spec"]["clusterGUID"]
    accepted = {"clusterGUID": guid, "revision": 1, "nonce": secrets.token_hex(8)}
    node.etcd.put("/felix-py/v1/accepted", json.dumps(accepted))


def test_an_accepted_older_store_learns_of_the_pods_that_live(node: CniNode) -> None:
    older = node.container()
    assert node.call("ADD", older).exit_code == 0
    snapshot = node.etcd.snapshot()
    younger, gone = node.container(), node.container()
    given = {_address(node.call("ADD", one)) for one in (younger, gone)}
    known = node.endpoints()
    assert node.call("DEL", gone).exit_code == 0
    node.etcd.restore(snapshot)
    _until(lambda: _frozen(node))
    assert node.call("ADD", node.container()).code == 11
    assert len(node.allocations()) == 1
    links, routes = node.links(), node.routes()
    _accept(node)
    _until(lambda: len(node.allocations()) == 2 and not _frozen(node), 20)
    endpoints = node.endpoints()
    assert len(endpoints) == 2
    for key, endpoint in endpoints.items():
        assert endpoint["spec"] == known[key]["spec"]
        assert endpoint["metadata"]["labels"] == known[key]["metadata"]["labels"]
    assert (node.links(), node.routes()) == (links, routes)
    added = node.container()
    assert _address(node.call("ADD", added)) not in given - {_address_of(known, gone)}
    for container in (older, younger, added):
        assert node.call("DEL", container).exit_code == 0
    assert not node.left_behind()


def test_killed_while_frozen_it_stays_frozen_and_writes_nothing_but_that_it_closed_the_gate(
    node: CniNode,
) -> None:
    snapshot = node.etcd.snapshot()
    container = node.container()
    assert node.call("ADD", container).exit_code == 0
    node.etcd.restore(snapshot)
    _until(lambda: _frozen(node))
    before = _data(node)
    node.kill_server()
    (node.directory / "run/status/cni.json").unlink()
    node.start_server(wait=False)
    _until(lambda: (node.directory / "run/status/cni.json").exists() and _frozen(node))
    assert node.call("ADD", node.container()).code == 11
    assert node.call("DEL", container).exit_code == 0
    assert len(node.pending()) == 1
    assert _data(node) == before
    _accept(node)
    _until(lambda: not node.pending(), 60)
    assert not node.left_behind()


def test_a_node_that_is_all_there_is_recovers_a_restored_store_by_itself(node: CniNode) -> None:
    """What the snapshot holds of a pod that is gone is released, what lives is registered."""
    deleted = node.container()
    assert node.call("ADD", deleted).exit_code == 0
    snapshot = node.etcd.snapshot()
    assert node.call("DEL", deleted).exit_code == 0
    living = [node.container() for _ in range(3)]
    for container in living:
        assert node.call("ADD", container).exit_code == 0
    known, links = node.endpoints(), node.links()
    roster.write(
        str(node.directory / "run"), [NodeName(next(iter(known.values()))["spec"]["node"])]
    )
    node.etcd.restore(snapshot)
    _until(lambda: _frozen(node))
    assert node.call("ADD", node.container()).code == 11
    _until(lambda: not _frozen(node) and not node.etcd.dump(RECOVERY), 60)
    assert _cluster(node)["spec"]["datastoreReady"] is True
    assert {key: e["spec"] for key, e in node.endpoints().items()} == {
        key: e["spec"] for key, e in known.items()
    }
    assert len(node.allocations()) == 3
    assert node.links() == links
    added = node.container()
    given = {e["spec"]["ipNetworks"][0] for e in known.values()}
    assert _address(node.call("ADD", added)) not in given
    for container in (*living, added):
        assert node.call("DEL", container).exit_code == 0
    assert not node.left_behind()


def test_a_server_without_a_memory_gives_nothing_out_of_a_store_that_another_closed(
    node: CniNode,
) -> None:
    """A node that was started again after the restore: nothing tells it that the store went back."""
    snapshot = node.etcd.snapshot()
    living = node.container()
    assert node.call("ADD", living).exit_code == 0
    node.etcd.restore(snapshot)
    _until(lambda: not _cluster(node)["spec"]["datastoreReady"])
    node.kill_server()
    (node.directory / "run/history/cni.json").unlink()
    (node.directory / "run/status/cni.json").unlink()
    node.start_server(wait=False)
    _until(lambda: (node.directory / "run/status/cni.json").exists() and _frozen(node))
    assert node.call("ADD", node.container()).code == 11
    assert len(node.allocations()) == 0
    _accept(node)
    _until(lambda: len(node.allocations()) == 1 and not _frozen(node))
    assert node.call("DEL", living).exit_code == 0
    assert not node.left_behind()


def _address(result: Result) -> str:
    return str(result.json["ips"][0]["address"])


def _address_of(endpoints: dict[str, dict[str, Any]], container: Call) -> str:
    [found] = [
        endpoint["spec"]["ipNetworks"][0]
        for endpoint in endpoints.values()
        if endpoint["spec"]["containerID"] == container.container
    ]
    return str(found)
