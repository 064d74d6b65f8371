"""Nodes, pods and namespaces go away, for a while or for good: no leak, nothing taken from the living."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from felix_py.lab.errors import LabError
from felix_py.lab.kubernetes import applied, proof
from felix_py.lab.kubernetes.kubectl import ready
from tests.cluster.conftest import Clusters
from tests.e2e import truth
from tests.support import cluster_truth
from tests.support.cluster import Cluster
from tests.support.cluster_documents import about, small, workload
from tests.support.cluster_holdings import (
    ENDPOINTS,
    HANDLES,
    dump,
    endpoint_of,
    handles,
    held,
    left_of,
)
from tests.support.cluster_truth import disagreements
from tests.support.controllers import GRACE_SECONDS, QUARANTINE_SECONDS, calm, hurry
from tests.support.lab import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(1500),
    pytest.mark.usefixtures("hasty"),
]
SECONDS = 300.0
NODE, TOR, OTHERS = "node-a2", "tor-a", ("node-a1", "node-b1")
HOME = "stay"
"""The namespace of these tests' pods."""
PODS = 6
MANY = 50
RELEASED = "endpoint of a pod that is gone was given back"
"""What the controllers' log says then."""


@pytest.fixture(scope="module")
def hasty(clusters: Clusters) -> Iterator[None]:
    """Controllers that wait less, and on each node one pod of a DaemonSet with an address of ours."""
    cluster = clusters.get("cluster")
    if not cluster.topology.applied:
        pytest.skip("the controllers come with the manifest")
    hurry(cluster)
    cluster.kubectl.apply(json.dumps({**about("Namespace"), "metadata": {"name": HOME}}))
    cluster.kubectl.apply(json.dumps(workload("DaemonSet", HOME)))
    yield
    cluster.kubectl.run("delete", "namespace", HOME, "--ignore-not-found", timeout_seconds=SECONDS)
    calm(cluster)


def lone_pod(cluster: Cluster, name: str) -> tuple[str, str]:
    """A pod of no workload on the node; its address, and its endpoint's key."""
    where = {"kubernetes.io/hostname": NODE}
    meta = {"name": name, "namespace": HOME}
    pod = {**about("Pod"), "metadata": meta, "spec": small(nodeSelector=where)}
    cluster.kubectl.apply(json.dumps(pod))
    cluster.kubectl.run("wait", "-n", HOME, f"pod/{name}", "--for=condition=Ready", "--timeout=90s")
    [found] = cluster.kubectl.get("pods", "-n", HOME, "--field-selector", f"metadata.name={name}")
    return found["status"]["podIP"], endpoint_of(cluster, HOME, name)


def delete_by_force(cluster: Cluster, name: str) -> None:
    force = ("--force", "--grace-period=0", "--wait=false")
    cluster.kubectl.run("delete", "pod", "-n", HOME, name, *force)


def released_by_controllers(cluster: Cluster, endpoint: str) -> bool:
    """Whether it was they, and not the pod's node."""
    which = ("-l", "app.kubernetes.io/component=controllers", "--tail=-1")
    log = cluster.kubectl.run("logs", *applied.NAMESPACE, *which)
    return any(RELEASED in line and endpoint in line for line in log.splitlines())


def untouchables(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """The node's pods of DaemonSets: uid, and how often their containers were restarted."""
    found = cluster.kubectl.get("pods", "-A", "--field-selector", f"spec.nodeName={NODE}")
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(each["restartCount"] for each in pod["status"].get("containerStatuses", ())),
        )
        for pod in found
        if pod["metadata"].get("ownerReferences", [{}])[0].get("kind") == "DaemonSet"
    }


def lasting(words: set[str]) -> set[str]:
    """What stays as it is while the node does nothing: not its daemons' sessions and status."""
    return {word for word in words if not word.startswith("/felix-py/")}


def others(cluster: Cluster) -> set[str]:
    return {word for node in OTHERS for word in lasting(held(cluster, node))}


def is_ready(cluster: Cluster) -> bool:
    """Whether the node says so and, a little later, pods are put on it again."""
    [node] = cluster.kubectl.get("nodes", "--field-selector", f"metadata.name={NODE}")
    return ready(node) and not node["spec"].get("taints")


def is_used(cluster: Cluster) -> bool:
    """Whether new pods of the lab's are put on the node, too."""
    proof.scale(cluster.kubectl, 0, SECONDS)
    return NODE in {pod.node for pod in proof.scale(cluster.kubectl, PODS, SECONDS)}


def talk(cluster: Cluster) -> None:
    """Pods on every node, the one that was away too, answer one another and the ToRs."""
    pods = proof.scale(cluster.kubectl, PODS, SECONDS)
    assert NODE in {pod.node for pod in pods}

    def wrong() -> str | None:
        try:
            told = proof.complaints(proof.look(cluster.kubectl, cluster.topology, pods))
        except LabError as error:
            return str(error)
        return "; ".join(told) or None

    cluster.kubectl.wait("pods talk", wrong, SECONDS)
    assert eventually(lambda: disagreements(cluster) == [], 60), disagreements(cluster)


def agents_back(cluster: Cluster) -> None:
    """The node and its agents are ready."""

    def wrong() -> str | None:
        if not is_ready(cluster):
            return f"{NODE} is not Ready"
        return applied.agents_not_ready(cluster.kubectl, cluster.topology)

    cluster.kubectl.wait("agents ready", wrong, SECONDS)


def test_a_drain_touches_no_daemon_and_a_deleted_node_gives_back_all_and_may_return(
    cluster: Cluster,
) -> None:
    proof.scale(cluster.kubectl, PODS, SECONDS)
    before = untouchables(cluster)
    drain = ("drain", NODE, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s")
    cluster.kubectl.run(*drain, timeout_seconds=160)
    assert eventually(lambda: disagreements(cluster) == [], 90), disagreements(cluster)
    assert untouchables(cluster) == before
    words, theirs = held(cluster, NODE), others(cluster)
    assert any(word.startswith(f"{ENDPOINTS}{HOME}/") for word in words), words
    assert handles(words) <= set(dump(cluster))
    cluster.lab.felix_lab("fail", "node", NODE)
    try:
        cluster.kubectl.run("delete", "node", NODE)
        assert eventually(lambda: not held(cluster, NODE), GRACE_SECONDS + 60), held(cluster, NODE)
        now = dump(cluster)
        assert not handles(words) & set(now)
        assert not [key for key in now if NODE in key]
        assert others(cluster) == theirs
        assert truth.compare_ipam(truth.read_etcd(cluster_truth.etcdctl(cluster))) == []
    finally:
        cluster.lab.felix_lab("heal", seconds=SECONDS)
    agents_back(cluster)
    assert eventually(lambda: is_used(cluster), SECONDS)
    talk(cluster)


def test_an_unreachable_node_keeps_all_but_what_was_deleted_by_force_and_that_for_its_quarantine(
    cluster: Cluster,
) -> None:
    _, endpoint = lone_pod(cluster, "victim")
    before, theirs = lasting(held(cluster, NODE)), others(cluster)
    assert endpoint in before
    container = json.loads(dump(cluster)[endpoint])["spec"]["containerID"]
    cluster.lab.felix_lab("fail", "link", NODE, TOR)
    try:
        delete_by_force(cluster, "victim")
        assert not eventually(
            lambda: lasting(held(cluster, NODE)) != before, QUARANTINE_SECONDS / 2
        )
        assert eventually(lambda: not is_ready(cluster), 120)
        assert eventually(lambda: endpoint not in dump(cluster), QUARANTINE_SECONDS + 60)
        after = lasting(held(cluster, NODE))
        gone = before - after
        assert gone == {endpoint, *(word for word in before if f"{container} " in word)}
        assert after < before
        assert f"{HANDLES}k8s-pod-network.{container}" not in dump(cluster)
    finally:
        cluster.lab.felix_lab("heal", seconds=SECONDS)
    assert eventually(lambda: is_ready(cluster), 120)
    assert eventually(lambda: disagreements(cluster) == [], 120), disagreements(cluster)
    assert lasting(held(cluster, NODE)) == after
    assert released_by_controllers(cluster, endpoint)
    assert others(cluster) == theirs
    talk(cluster)


def test_a_node_whose_kubelet_returns_gives_back_what_was_deleted_by_force_itself(
    cluster: Cluster,
) -> None:
    address, endpoint = lone_pod(cluster, "confirmed")
    cluster.lab.felix_lab("fail", "process", NODE, "kubelet", "--hold")
    try:
        delete_by_force(cluster, "confirmed")
        assert not eventually(lambda: endpoint not in dump(cluster), 5)
        assert any(word.endswith(f" {address}") for word in held(cluster, NODE))
    finally:
        cluster.lab.felix_lab("heal", seconds=SECONDS)
    assert eventually(lambda: endpoint not in dump(cluster), 90)
    assert eventually(lambda: disagreements(cluster) == [], 60), disagreements(cluster)
    assert not released_by_controllers(cluster, endpoint)


def test_a_namespace_deleted_with_fifty_pods_leaves_nothing(cluster: Cluster) -> None:
    kubectl, shop = cluster.kubectl, f"shop-{secrets.token_hex(2)}"
    kubectl.run("create", "namespace", shop)
    kubectl.run("create", "serviceaccount", "builder", "-n", shop)
    kubectl.apply(json.dumps(workload("Deployment", shop, replicas=MANY)))

    def missing() -> str | None:
        found = kubectl.get("pods", "-n", shop)
        running = [pod for pod in found if ready(pod)]
        return None if len(running) == MANY else f"{len(running)} run"

    kubectl.wait(f"{MANY} pods", missing, SECONDS)
    there = left_of(cluster, shop)
    assert len([each for each in there if each.startswith(ENDPOINTS)]) == MANY
    assert [each for each in there if each.endswith(f"ksa.{shop}.builder")]
    kubectl.run("delete", "namespace", shop, timeout_seconds=SECONDS)
    assert eventually(lambda: left_of(cluster, shop) == [], 30), left_of(cluster, shop)
    assert eventually(lambda: disagreements(cluster) == [], 60), disagreements(cluster)
    assert ipam_check(cluster) == ""


def test_an_endpoint_and_a_handle_that_were_left_are_found(cluster: Cluster) -> None:
    """The control: what a namespace would leave is planted."""
    key = next(key for key in dump(cluster) if key.startswith(f"{ENDPOINTS}{HOME}/"))
    leaked = key.replace(f"{ENDPOINTS}{HOME}/", f"{ENDPOINTS}shop/")
    handle = f"{HANDLES}k8s-pod-network.{secrets.token_hex(32)}"
    value = json.dumps({"block": {"10.244.0.0/26": 1}, "deleted": False, "id": handle})
    document = json.loads(dump(cluster)[key])
    document["metadata"]["namespace"] = "shop"
    for name, text in ((leaked, json.dumps(document)), (handle, value)):
        cluster.lab.exec("etcd", "etcdctl", "put", name, "--", text)
    try:
        told = left_of(cluster, "shop")
        assert leaked in told
        assert any(handle.removeprefix(HANDLES) in each for each in told)
        assert ipam_check(cluster) != ""
    finally:
        for name in (leaked, handle):
            cluster.lab.exec("etcd", "etcdctl", "del", name)
    assert left_of(cluster, "shop") == []


def ipam_check(cluster: Cluster) -> str:
    """What it found, whatever its exit status."""
    done = cluster.lab.felix_lab("exec", "node-a1", "--", "felixctl", "ipam", "check", check=False)
    return done.stdout + done.stderr if done.returncode else ""
