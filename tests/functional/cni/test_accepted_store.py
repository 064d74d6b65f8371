"""The CNI server on an etcd that went back to a snapshot: frozen, accepted, killed meanwhile."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cni.node import RESOURCES, Call, CniNode
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


def _accept(node: CniNode) -> None:
    """As `felixctl datastore accept`."""
    [cluster] = node.etcd.dump(f"{RESOURCES}/clusterinformations/").values()
    guid = json.loads(cluster)["spec"]["clusterGUID"]
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


def test_killed_while_frozen_it_stays_frozen_and_writes_nothing(node: CniNode) -> None:
    snapshot = node.etcd.snapshot()
    container = node.container()
    assert node.call("ADD", container).exit_code == 0
    node.etcd.restore(snapshot)
    _until(lambda: _frozen(node))
    before = node.etcd.dump()
    node.kill_server()
    (node.directory / "run/status/cni.json").unlink()
    node.start_server(wait=False)
    _until(lambda: (node.directory / "run/status/cni.json").exists() and _frozen(node))
    assert node.call("ADD", node.container()).code == 11
    assert node.call("DEL", container).exit_code == 0
    assert len(node.pending()) == 1
    assert node.etcd.dump() == before
    _accept(node)
    _until(lambda: not node.pending(), 60)
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
