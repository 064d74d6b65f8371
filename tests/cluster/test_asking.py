"""Pods, namespaces and pools that ask for something by annotations and selectors, on a whole cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from felix_py.lab.kubernetes import applied, proof
from tests.cluster.conftest import Clusters
from tests.support.cluster import Cluster
from tests.support.cluster_truth import disagreements
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]
MANIFEST = (Path(__file__).with_name("manifests") / "asking.yaml").read_text()
NAMED, RACK_B = "10.247.0.0/24", "10.248.0.0/24"
SECONDS = 120.0
EDIT_SECONDS = 2.0
NAMESPACE = ("-n", "asking")


def pool(name: str, cidr: str, *, selector: str = "all()", assigned: str = "Automatic") -> str:
    spec = {"cidr": cidr, "blockSize": 28, "nodeSelector": selector, "assignmentMode": assigned}
    metadata = {"name": name}
    return json.dumps(
        {"kind": "IPPool", "apiVersion": "projectcalico.org/v3", "metadata": metadata, "spec": spec}
    )


@pytest.fixture(scope="module")
def asked(clusters: Clusters) -> Iterator[Cluster]:
    """The cluster with the pool that the namespace names, and the pods that ask."""
    cluster = clusters.get("cluster")
    applied.felixctl(
        cluster.kubectl, "apply", "-f", "-", stdin=pool("named", NAMED, assigned="Manual")
    )
    cluster.kubectl.apply(MANIFEST)
    yield cluster
    cluster.kubectl.run("delete", "namespace", "asking", "--timeout=100s")
    applied.felixctl(cluster.kubectl, "delete", "ippool", "named")
    assert eventually(lambda: disagreements(cluster) == [], SECONDS), disagreements(cluster)


def address_of(cluster: Cluster, pod: str) -> str:
    """A running pod's address; waits for it."""

    def found() -> str:
        pods = {each["metadata"]["name"]: each for each in cluster.kubectl.get(*NAMESPACE, "pods")}
        running = pod in pods and pods[pod]["status"]["phase"] == "Running"
        return str(pods[pod]["status"].get("podIP", "")) if running else ""

    assert eventually(lambda: found() != "", SECONDS), f"{pod} does not run"
    return found()


def test_a_pods_pool_is_its_namespaces_and_its_own_annotation_wins(asked: Cluster) -> None:
    assert ip_address(address_of(asked, "from-namespace")) in ip_network(NAMED)
    assert ip_address(address_of(asked, "from-pod")) in ip_network("10.244.0.0/16")


def test_a_pod_of_a_stateful_set_keeps_its_address_by_annotation(asked: Cluster) -> None:
    assert address_of(asked, "same-0") == "10.247.0.77"
    before = asked.kubectl.run("get", *NAMESPACE, "pod", "same-0", "-o", "jsonpath={.metadata.uid}")
    asked.kubectl.run("delete", *NAMESPACE, "pod", "same-0")
    assert eventually(lambda: uid(asked, "same-0") not in {"", before}, SECONDS)
    assert address_of(asked, "same-0") == "10.247.0.77"


def test_a_pod_that_asks_for_a_taken_address_says_so_and_the_holder_keeps_it(
    asked: Cluster,
) -> None:
    assert address_of(asked, "same-0") == "10.247.0.77"
    asked.kubectl.run("scale", *NAMESPACE, "statefulset/same", "--replicas=2")
    try:
        about = (
            *("events", *NAMESPACE, "--field-selector"),
            "involvedObject.name=same-1,reason=AddressTaken",
        )
        assert eventually(lambda: asked.kubectl.get(*about) != [], SECONDS)
        assert "10.247.0.77" in asked.kubectl.get(*about)[0]["message"]
        assert address_of(asked, "same-0") == "10.247.0.77"
    finally:
        asked.kubectl.run("scale", *NAMESPACE, "statefulset/same", "--replicas=1")
    assert eventually(lambda: uid(asked, "same-1") == "", SECONDS)


def uid(cluster: Cluster, pod: str) -> str:
    return cluster.kubectl.run(
        *("get", *NAMESPACE, "pod", pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    )


@pytest.mark.parametrize(
    ("pod", "reason"), [("foreign", "NotInPool"), ("malformed", "BadAnnotation")]
)
def test_a_pod_that_asks_for_the_impossible_does_not_run_and_says_why(
    asked: Cluster, pod: str, reason: str
) -> None:
    about = ("events", *NAMESPACE, "--field-selector", f"involvedObject.name={pod},reason={reason}")
    assert eventually(lambda: asked.kubectl.get(*about) != [], SECONDS)
    (event,) = asked.kubectl.get(*about)
    assert event["type"] == "Warning"
    assert "ipAddrs" in event["message"] or "203.0.113.7" in event["message"]
    assert asked.kubectl.run("get", *NAMESPACE, "pod", pod, "-o", "jsonpath={.status.phase}") == (
        "Pending"
    )


def test_a_pool_for_one_rack_serves_its_nodes_alone_as_soon_as_it_is_there(asked: Cluster) -> None:
    kubectl = asked.kubectl
    edited = pool("rack-b", RACK_B, selector="rack == 'b'")
    standing = json.loads(applied.felixctl(kubectl, "get", "ippool", "pods", "-o", "json"))
    applied.felixctl(kubectl, "apply", "-f", "-", stdin=edited)
    standing["spec"]["nodeSelector"] = "rack != 'b'"
    applied.felixctl(kubectl, "apply", "-f", "-", stdin=json.dumps(standing))
    try:
        time.sleep(EDIT_SECONDS)
        proof.scale(kubectl, 0, SECONDS)
        pods = proof.scale(kubectl, 6, SECONDS)
        where = {pod.node: ip_address(pod.address) for pod in pods}
        assert where["node-b1"] in ip_network(RACK_B)
        assert where["node-a2"] in ip_network("10.244.0.0/16")
        looked = partial(proof.look, kubectl, asked.topology, pods)
        assert eventually(lambda: proof.complaints(looked()) == [], SECONDS)
    finally:
        standing["spec"]["nodeSelector"] = "all()"
        standing["metadata"].pop("resourceVersion", None)
        applied.felixctl(kubectl, "apply", "-f", "-", stdin=json.dumps(standing))
        proof.scale(kubectl, 0, SECONDS)
        applied.felixctl(kubectl, "delete", "ippool", "rack-b")
