"""A cluster as most are: pods go out as their nodes; and taking it down leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from felix_py.lab.addressing import node_address
from felix_py.lab.kubernetes import proof
from tests.cluster.conftest import Clusters
from tests.support import cluster as support
from tests.support.cluster import Cluster
from tests.support.lab import Lab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
SECONDS = 400.0


def test_pods_keep_off_the_control_plane_and_go_out_as_their_node(plain: Cluster) -> None:
    pods = proof.scale(plain.kubectl, 6, SECONDS)
    assert {pod.node for pod in pods} == {"node-2", "node-3"}
    seen = proof.look(plain.kubectl, plain.topology, pods)
    assert proof.complaints(seen) == []
    outside = [each for each in seen if each.target == "internet"]
    nodes = {str(node_address(plain.topology, pod.node).ip) for pod in pods}
    assert {each.saw for each in outside} == nodes


def test_pods_resolve_the_name_of_a_host_that_has_no_way_to_them(plain: Cluster) -> None:
    for pod in proof.scale(plain.kubectl, 6, SECONDS):
        assert proof.resolves(plain.kubectl, pod.name, "internet.outside.example") == [
            "203.0.113.10"
        ]


def test_down_leaves_nothing_of_a_cluster_that_has_pods(plain: Cluster, clusters: Clusters) -> None:
    proof.scale(plain.kubectl, 6, SECONDS)
    ran = support.processes(plain.lab.name)
    assert len(ran) > 20
    assert support.leftovers(plain.lab, ran)
    clusters.down()
    assert support.leftovers(plain.lab, ran) == []
    assert support.host_state() == clusters.host_before


def run(*command: str) -> None:
    subprocess.run(command, check=True)


@contextmanager
def planted_process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("what", ["namespace", "cgroup", "process", "command", "file", "mount"])
def test_what_is_left_of_a_lab_is_noticed(tmp_path: Path, what: str) -> None:
    lab = Lab(tmp_path)
    assert support.leftovers(lab, []) == []
    with ExitStack() as stack:
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        ran: set[tuple[int, str]] = set()
        if what == "namespace":
            run("ip", "netns", "add", f"{lab.name}-x")
            stack.callback(run, "ip", "netns", "del", f"{lab.name}-x")
        elif what == "cgroup":
            group = Path("/sys/fs/cgroup/pids", f"{lab.name}-x")
            group.mkdir()
            stack.callback(group.rmdir)
        elif what == "process":
            process = stack.enter_context(planted_process(sleep))
            ran = {(process.pid, support._started(process.pid))}
        elif what == "command":
            stack.enter_context(planted_process([*sleep, str(lab.directory)]))
        else:
            lab.directory.mkdir()
            stack.callback(lab.directory.rmdir)
        if what == "mount":
            run("mount", "-t", "tmpfs", "tmpfs", str(lab.directory))
            stack.callback(run, "umount", str(lab.directory))
        found = support.leftovers(lab, ran)
        assert any(line.startswith({"command": "process"}.get(what, what)) for line in found), found
    assert support.leftovers(lab, []) == []
