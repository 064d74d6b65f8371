"""Nodes that are drained or cut off: nothing is taken from the living, nothing leaks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from felix_py.lab.errors import LabError
from felix_py.lab.kubernetes import applied, proof
from felix_py.lab.kubernetes.kubectl import ready
from tests.e2e import truth
from tests.support import cluster_truth
from tests.support.cluster import Cluster
from tests.support.cluster_truth import disagreements
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]
SECONDS = 300.0
NOT_READY_SECONDS = 90.0
"""The API server's company waits 50 s for a kubelet that says nothing."""


def agents(cluster: Cluster) -> dict[str, str]:
    """The id of the agents' pod on each node; nothing where our daemons are no pods."""
    found = cluster.kubectl.get(*applied.AGENTS)
    return {pod["spec"]["nodeName"]: pod["metadata"]["uid"] for pod in found}


def affinities(cluster: Cluster, node: str) -> set[str]:
    """The blocks that a node holds, as etcd has them."""
    found = truth.read_etcd(cluster_truth.etcdctl(cluster)).affinities
    return {key for key in found if f"/{node}/" in key}


def is_ready(cluster: Cluster, name: str) -> bool:
    return any(
        ready(one) for one in cluster.kubectl.get("nodes") if one["metadata"]["name"] == name
    )


def whole(cluster: Cluster) -> bool:
    """Whether every pod reaches every other one."""
    try:
        pods = proof.answering_pods(cluster.kubectl)
        return proof.complaints(proof.look(cluster.kubectl, cluster.topology, pods)) == []
    except LabError:
        return False


@contextmanager
def failed(cluster: Cluster, *faults: tuple[str, ...]) -> Iterator[None]:
    for fault in faults:
        cluster.lab.felix_lab("fail", *fault)
    try:
        yield
    finally:
        cluster.lab.felix_lab("heal", seconds=SECONDS)


def test_nothing_of_a_drained_nodes_agents_and_blocks_is_touched(cluster: Cluster) -> None:
    proof.scale(cluster.kubectl, 6, SECONDS)
    before, held = agents(cluster), affinities(cluster, "node-b1")
    assert held
    drain = ("drain", "node-b1", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
    cluster.kubectl.run(*drain, "--timeout=100s", timeout_seconds=SECONDS)
    try:
        assert eventually(lambda: disagreements(cluster) == [], 60), disagreements(cluster)
        assert affinities(cluster, "node-b1") == held
        assert agents(cluster) == before
        assert is_ready(cluster, "node-b1")
    finally:
        cluster.kubectl.run("uncordon", "node-b1")
    proof.scale(cluster.kubectl, 0, SECONDS)
    assert {pod.node for pod in proof.scale(cluster.kubectl, 6, SECONDS)} >= {"node-b1"}
    assert eventually(lambda: whole(cluster), SECONDS)


def test_a_node_that_was_cut_off_keeps_its_pods_and_one_that_was_force_deleted_leaks_nothing(
    cluster: Cluster,
) -> None:
    pods = proof.scale(cluster.kubectl, 6, SECONDS)
    held = affinities(cluster, "node-b1")
    there = [pod for pod in pods if pod.node == "node-b1"]
    with failed(cluster, ("link", "node-b1", "tor-b")):
        assert eventually(lambda: not is_ready(cluster, "node-b1"), NOT_READY_SECONDS)
        forced = ("--force", "--grace-period=0", "--wait=false")
        cluster.kubectl.run("delete", "pod", "-n", proof.NAMESPACE, there[0].name, *forced)
        time.sleep(2)
        assert affinities(cluster, "node-b1") == held
        stored = truth.read_etcd(cluster_truth.etcdctl(cluster)).endpoints.values()
        assert {pod.name for pod in there} <= {spec["pod"] for spec in stored}
    assert eventually(lambda: is_ready(cluster, "node-b1"), SECONDS)
    assert eventually(lambda: whole(cluster), SECONDS)
    assert {pod.name for pod in there[1:]} <= {
        pod.name for pod in proof.answering_pods(cluster.kubectl)
    }
    assert eventually(lambda: disagreements(cluster) == [], SECONDS), disagreements(cluster)
