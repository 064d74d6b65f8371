from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional.cni.node import Call, CniNode, configuration
from tests.functional.cni.runtime import environment

pytestmark = [pytest.mark.root, pytest.mark.etcd]


@pytest.fixture
def node(tmp_path: Path, shim: Path) -> Iterator[CniNode]:
    with CniNode(tmp_path, shim) as node:
        yield node


def _await(condition: str, node: CniNode, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not eval(condition, {"node": node}):  # the condition is shown when it fails
        assert time.monotonic() < deadline, f"not in time: {condition}"
        time.sleep(0.1)


def test_a_server_that_is_killed_midway_is_waited_for(node: CniNode) -> None:
    container = node.container()
    node.pause_server()
    process = node.plugin.start(environment("ADD", container.container, container.netns))
    with process:
        assert process.stdin is not None
        process.stdin.write(configuration())
        process.stdin.close()
        process.stdin = None
        time.sleep(0.3)
        node.kill_server()
        node.start_server(wait=False)
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0, stdout
    assert len(node.allocations()) == len(node.links()) == 1
    assert node.call("DEL", container).exit_code == 0
    assert not node.allocations()


def test_a_restarted_server_knows_its_pods(node: CniNode) -> None:
    container = node.container()
    first = node.call("ADD", container)
    node.kill_server()
    node.start_server()
    assert node.call("ADD", container).stdout == first.stdout
    assert node.call("CHECK", container, prevResult=first.json).exit_code == 0
    assert node.call("DEL", container).exit_code == 0
    assert not node.allocations()
    assert not node.links()


def test_with_etcd_away_add_waits_for_better_times_and_del_is_settled_later(node: CniNode) -> None:
    containers = [node.container() for _ in range(3)]
    for container in containers:
        assert node.call("ADD", container).exit_code == 0
    node.etcd.kill()
    refused = node.call("ADD", node.container())
    assert (refused.exit_code, refused.code) == (1, 11)
    for container in containers:
        assert node.call("DEL", container).exit_code == 0
    assert not node.links()
    assert len(node.pending()) == 3
    node.etcd.start()
    _await("not node.pending()", node, 60)
    assert not node.allocations()
    assert not node.endpoints()
    node.await_ready()
    assert node.call("ADD", containers[0]).exit_code == 0
    assert node.call("DEL", containers[0]).exit_code == 0


def test_pending_dels_outlive_the_server(node: CniNode) -> None:
    container = node.container()
    node.call("ADD", container)
    node.etcd.kill()
    assert node.call("DEL", container).exit_code == 0
    node.kill_server()
    node.start_server(wait=False)
    assert node.call("DEL", container).exit_code == 0
    node.etcd.start()
    _await("not node.pending()", node, 60)
    assert not node.allocations()


def test_add_of_the_same_container_settles_its_pending_del_first(node: CniNode) -> None:
    container = node.container()
    node.call("ADD", container)
    node.etcd.kill()
    node.call("DEL", container)
    node.etcd.start()
    node.await_ready()
    assert node.call("ADD", container).exit_code == 0
    time.sleep(2)
    _await("not node.pending()", node, 60)
    assert len(node.allocations()) == len(node.endpoints()) == 1
    node.call("DEL", container)


def test_another_machines_session_key_ends_the_server(node: CniNode) -> None:
    node.stop_server()
    [key] = [key for key in node.etcd.dump("/felix-py/") if key.endswith("/session")]
    node.etcd.put(key, '{"machineId":"00000000000000000000000000000000","nonce":"x"}')
    node.start_server(wait=False)
    assert node._server is not None
    assert node._server.wait(20) == 1
    node._server = None


def test_the_status_file_says_how_it_stands(node: CniNode) -> None:
    node.call("ADD", node.container())
    _await("'\"attachments\": 1' in (node.directory/'run/status/cni.json').read_text()", node)
    node.etcd.kill()
    _await("'etcd is away' in (node.directory/'run/status/cni.json').read_text()", node)
    assert node.status().code == 50
    done = subprocess.run(
        ["grep", "-c", "Traceback", str(node.directory / "log")], check=False, capture_output=True
    )
    assert done.stdout.strip() == b"0"


def test_killed_again_and_again_under_load_it_leaves_nothing_behind(node: CniNode) -> None:
    containers = [node.container() for _ in range(8)]
    stop = threading.Event()
    codes: set[int] = set()

    def churn(container: Call) -> None:
        while not stop.is_set():
            codes.add(node.call("ADD", container).code)
            codes.add(node.call("DEL", container).code)

    with ThreadPoolExecutor(len(containers)) as pool:
        loops = [pool.submit(churn, container) for container in containers]
        for number in range(5):
            time.sleep(0.5 + number * 0.137)
            node.kill_server()
            node.start_server(wait=False)
        time.sleep(1)
        stop.set()
        for loop in loops:
            loop.result(120)
    node.await_ready()
    assert codes <= {0, 11}
    for container in containers:
        assert node.call("DEL", container).exit_code == 0
    _await("not node.pending()", node)
    assert not node.left_behind()
