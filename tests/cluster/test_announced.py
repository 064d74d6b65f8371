"""What the controllers tell Kubernetes: that nodes have a network, and that policies have no effect."""

from __future__ import annotations

import json
import secrets

import pytest

from tests.support.cluster import Cluster
from tests.support.cluster_documents import about
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
POLICY = "NetworkPolicyNotEnforced"


def conditions(cluster: Cluster, kind: str) -> dict[str, dict[str, str]]:
    """Each node's condition of this type."""
    return {
        node["metadata"]["name"]: each
        for node in cluster.kubectl.get("nodes")
        for each in node["status"]["conditions"]
        if each["type"] == kind
    }


def test_nodes_say_that_they_have_a_network_and_that_a_network_policy_is_not_enforced(
    cluster: Cluster,
) -> None:
    if not cluster.topology.applied:
        pytest.skip("the controllers come with the manifest")
    kubectl, names = cluster.kubectl, {node.name for _, node in cluster.topology.nodes}
    policy = f"deny-{secrets.token_hex(2)}"
    networks = conditions(cluster, "NetworkUnavailable")
    assert set(networks) == names
    assert {(each["status"], each["reason"]) for each in networks.values()} == {
        ("False", "FelixPyIsReady")
    }
    document = {
        **about("NetworkPolicy", "networking.k8s.io/v1"),
        "metadata": {"name": policy, "namespace": "default"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    kubectl.apply(json.dumps(document))
    named = f"default/{policy}"

    def told() -> bool:
        found = conditions(cluster, POLICY)
        wanted = all(
            each["status"] == "True" and named in each["message"] for each in found.values()
        )
        return set(found) == names and wanted

    assert eventually(told, 30), conditions(cluster, POLICY)
    which = ("--field-selector", f"involvedObject.kind=NetworkPolicy,involvedObject.name={policy}")
    assert eventually(lambda: kubectl.get("events", "-n", "default", *which) != [], 30)
    [event] = kubectl.get("events", "-n", "default", *which)
    assert (event["reason"], event["type"]) == ("NotEnforced", "Warning")
    assert eventually(lambda: f"NetworkPolicy {named} is not enforced" in status(cluster), 30)
    kubectl.run("delete", "networkpolicy", policy)
    assert eventually(
        lambda: {each["status"] for each in conditions(cluster, POLICY).values()} == {"False"}, 30
    )


def status(cluster: Cluster) -> str:
    """What `felixctl status` says, whatever its exit status."""
    done = cluster.lab.felix_lab("exec", "node-a1", "--", "felixctl", "status", check=False)
    return done.stdout + done.stderr
