"""Machines and programs of a cluster fail and come back."""

from __future__ import annotations

import json

import pytest

from felix_py.lab.errors import LabError
from felix_py.lab.kubernetes import proof
from felix_py.lab.kubernetes.kubectl import ready
from tests.support.cluster import Cluster
from tests.support.cluster_truth import disagreements
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
SECONDS = 400.0


def test_pods_go_on_while_kubelet_and_containerd_are_killed_and_new_ones_start_afterwards(
    cluster: Cluster,
) -> None:
    pods = proof.scale(cluster.kubectl, 6, SECONDS)
    for program in ("kubelet", "containerd"):
        for node in ("node-a2", "node-b1"):
            cluster.lab.felix_lab("fail", "process", node, program)
        for pod in pods:
            told = cluster.lab.exec("node-a1", "ping", "-c", "5", "-i", "0.2", "-q", pod.address)
            assert "5 received" in told
    more = proof.scale(cluster.kubectl, 9, SECONDS)
    assert {pod.name for pod in pods} < {pod.name for pod in more}
    assert eventually(lambda: _complaints(cluster) == [], 150), _complaints(cluster)


def test_the_api_server_comes_back_and_pods_did_not_need_it(cluster: Cluster) -> None:
    proof.scale(cluster.kubectl, 6, SECONDS)
    far = next(pod for pod in proof.answering_pods(cluster.kubectl) if pod.node == "node-b1")
    cluster.lab.felix_lab("fail", "process", "node-a1", "kube-apiserver")
    told = cluster.lab.exec("node-a1", "ping", "-c", "20", "-i", "0.2", "-q", far.address)
    assert "20 received" in told
    assert eventually(lambda: cluster.lab.pids("node-a1", "kube-apiserver") != [], 60)
    pods = proof.scale(cluster.kubectl, 3, SECONDS)
    assert proof.complaints(proof.look(cluster.kubectl, cluster.topology, pods)) == []


def test_two_nodes_that_are_powered_off_at_once_come_back_without_waiting_for_each_other(
    cluster: Cluster,
) -> None:
    proof.scale(cluster.kubectl, 6, SECONDS)
    off = {"node-a2", "node-b1"}
    for node in off:
        cluster.lab.felix_lab("fail", "node", node)
    assert not [each for each in cluster.lab.status()["processes"] if each["node"] in off]
    cluster.lab.felix_lab("heal", seconds=SECONDS)
    pods = proof.scale(cluster.kubectl, 6, SECONDS)
    assert eventually(lambda: _all_ready(cluster), SECONDS)
    assert eventually(lambda: _complaints(cluster) == [], 150), _complaints(cluster)
    assert {pod.node for pod in pods} == {"node-a1", "node-a2", "node-b1"}
    assert eventually(lambda: disagreements(cluster) == [], 150), disagreements(cluster)


def _all_ready(cluster: Cluster) -> bool:
    return all(ready(node) for node in cluster.kubectl.get("nodes"))


def _complaints(cluster: Cluster) -> list[str]:
    """What does not hold; a kubelet that is not back yet cannot enter its pods."""
    try:
        pods = proof.answering_pods(cluster.kubectl)
        return proof.complaints(proof.look(cluster.kubectl, cluster.topology, pods))
    except LabError as error:
        return [str(error)]


def test_each_kubelet_counts_its_own_pods_alone(cluster: Cluster) -> None:
    pods = proof.scale(cluster.kubectl, 6, SECONDS)
    for _, node in cluster.topology.nodes:
        raw = cluster.kubectl.run("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/pods")
        held = {pod["metadata"]["name"] for pod in json.loads(raw)["items"]}
        assert {pod.name for pod in pods if pod.node == node.name} <= held
        assert not {pod.name for pod in pods if pod.node != node.name} & held
