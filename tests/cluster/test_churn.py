"""Many pods come and go, and come and go again: etcd, the kernels and the API agree; what a pod costs."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from felix_py.lab.kubernetes import proof
from tests.e2e import truth
from tests.support import cluster_truth
from tests.support.cluster import Cluster
from tests.support.cluster_truth import disagreements
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
MANY = 100
SECONDS = 600.0
SETTLE_SECONDS = 120.0
OTHER = "/etc/cni/net.d/00-ptp.conflist"
"""A file of another network, which containerd prefers to ours by its name."""
REFERENCE = ("ptp", "host-local")
SEEN_SECONDS = 3.0
"""containerd watches that folder; it does not say what it saw there."""


@pytest.fixture
def emptied(cluster: Cluster) -> Cluster:
    """The cluster without pods of the lab's."""
    proof.scale(cluster.kubectl, 0, SECONDS)
    assert agrees(cluster), disagreements(cluster)
    return cluster


def agrees(cluster: Cluster) -> bool:
    return eventually(lambda: disagreements(cluster) == [], SETTLE_SECONDS)


def ipam_check(cluster: Cluster) -> str:
    """What it found on any node, whatever its exit status."""
    done = cluster.lab.felix_lab("exec", "node-a1", "--", "felixctl", "ipam", "check", check=False)
    return done.stdout + done.stderr if done.returncode else ""


def timed(cluster: Cluster, replicas: int) -> float:
    """How many seconds until there are that many pods."""
    started_at = time.monotonic()
    proof.scale(cluster.kubectl, replicas, SECONDS)
    return time.monotonic() - started_at


def test_a_hundred_pods_come_and_go_twice_and_nothing_is_left(
    emptied: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    took = []
    for _ in range(2):
        for replicas in (MANY, 0):
            took.append(timed(emptied, replicas))
            assert agrees(emptied), disagreements(emptied)
            assert ipam_check(emptied) == ""
    with another_network(emptied):
        theirs = [timed(emptied, MANY)]
        addresses = {pod.address for pod in proof.answering_pods(emptied.kubectl)}
        assert all(address.startswith("10.245.") for address in addresses)
        theirs.append(timed(emptied, 0))
    assert agrees(emptied), disagreements(emptied)
    with capsys.disabled():
        print(
            f"\n{MANY} pods: up in {took[0]:.1f} and {took[2]:.1f} s, gone in {took[1]:.1f} and "
            f"{took[3]:.1f} s; with ptp and host-local {theirs[0]:.1f} and {theirs[1]:.1f} s"
        )


@contextmanager
def another_network(cluster: Cluster) -> Iterator[None]:
    """Meanwhile pods are attached by the reference plugins, which know one node and no other."""
    nodes = [node.name for _, node in cluster.topology.nodes]
    for number, node in enumerate(nodes):
        ipam = {"type": "host-local", "subnet": f"10.245.{number}.0/24"}
        plugins = [{"type": "ptp", "ipam": ipam}]
        text = json.dumps({"cniVersion": "1.0.0", "name": "ptp", "plugins": plugins})
        cluster.lab.exec(
            node, "cp", *(f"/usr/lib/cni/{name}" for name in REFERENCE), "/opt/cni/bin"
        )
        cluster.lab.exec(node, "sh", "-c", f"echo '{text}' > {OTHER}")
    time.sleep(SEEN_SECONDS)
    try:
        yield
    finally:
        for node in nodes:
            cluster.lab.exec(node, "rm", OTHER)
        time.sleep(SEEN_SECONDS)


def test_what_is_planted_is_found_by_the_comparison_and_by_ipam_check(cluster: Cluster) -> None:
    pods = proof.scale(cluster.kubectl, 3, SECONDS)
    assert agrees(cluster), disagreements(cluster)
    key, block = next(iter(cluster.lab.etcd("/calico/ipam/v2/assignment/ipv4/block/").items()))
    before = json.dumps(block)
    handle = f"k8s-pod-network.{secrets.token_hex(32)}"
    leaked = leak(block, handle)
    handle_key = f"/calico/ipam/v2/handle/{handle}"
    put(cluster, key, block)
    put(cluster, handle_key, {"block": {block["cidr"]: 1}, "deleted": False, "id": handle})
    try:
        told = "\n".join(disagreements(cluster))
        assert f"leak: {leaked}" in told
        assert leaked in ipam_check(cluster)
    finally:
        cluster.lab.exec("etcd", "etcdctl", "put", key, "--", before)
        cluster.lab.exec("etcd", "etcdctl", "del", handle_key)
    assert agrees(cluster), disagreements(cluster)
    api = cluster.kubectl.get("pods", "-A")
    etcd = truth.read_etcd(cluster_truth.etcdctl(cluster))
    gone = [pod for pod in api if pod["metadata"]["name"] != pods[0].name]
    assert any(pods[0].name in said for said in cluster_truth.compare_api(gone, etcd))


def leak(block: dict[str, Any], handle: str) -> str:
    """Mark one more address of a block as taken; which."""
    ordinal = block["unallocated"].pop()
    block["allocations"][ordinal] = len(block["attributes"])
    block["attributes"].append({"handle_id": handle, "secondary": {"node": "node-a1"}})
    head, _, last = block["cidr"].partition("/")[0].rpartition(".")
    return f"{head}.{int(last) + ordinal}"


def put(cluster: Cluster, key: str, value: object) -> None:
    cluster.lab.exec("etcd", "etcdctl", "put", key, "--", json.dumps(value))
