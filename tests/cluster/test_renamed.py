"""A machine that comes back under another name is another node: the old one gives back all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from felix_py.lab.kubernetes import applied, configuration, place, proof
from felix_py.lab.kubernetes.kubectl import ready
from felix_py.lab.machine import Machine
from tests.support.cluster import Cluster
from tests.support.cluster_holdings import dump, held
from tests.support.cluster_truth import disagreements
from tests.support.controllers import calm, hurry
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]
NODE, NEW = "node-a2", "node-new"
KEPT = "/var/lib/felix-py/nodename"
SECONDS = 300.0
PODS = 6
DRAIN = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s")


@contextmanager
def kubelet(cluster: Cluster, name: str) -> Iterator[None]:
    """Meanwhile the machine's kubelet says that this is its name."""
    home = cluster.lab.home
    arguments = [
        argument
        for argument in configuration.kubelet(cluster.topology, NODE)
        if not argument.startswith(("--hostname-override", "--kubeconfig"))
    ]
    named = [f"--hostname-override={name}", f"--kubeconfig={place.admin_config(home)}"]
    with (home.directory / "renamed.log").open("wb") as log:
        process = subprocess.Popen(
            Machine(home, NODE).command([*arguments, *named]), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def forget(cluster: Cluster, name: str) -> None:
    """What the document tells an administrator: drain, delete, and let the machine forget its name."""
    cluster.kubectl.run("drain", name, *DRAIN, timeout_seconds=160)
    cluster.kubectl.run("delete", "node", name)


def agents_say(cluster: Cluster, node: str) -> str:
    """The log of felix on a node."""
    which = ("-l", "app.kubernetes.io/component=node", f"--field-selector=spec.nodeName={node}")
    found = cluster.kubectl.get(*applied.NAMESPACE, "pods", *which)
    if not found:
        return ""
    name = found[0]["metadata"]["name"]
    return cluster.kubectl.run("logs", *applied.NAMESPACE, name, "-c", "felix", "--tail=5")


def agents_ready(cluster: Cluster, node: str) -> bool:
    which = ("-l", "app.kubernetes.io/component=node", f"--field-selector=spec.nodeName={node}")
    found = cluster.kubectl.get(*applied.NAMESPACE, "pods", *which)
    nodes = cluster.kubectl.get("nodes", "--field-selector", f"metadata.name={node}")
    return bool(found) and bool(nodes) and all(map(ready, [*found, *nodes]))


def runs_pods(cluster: Cluster, node: str) -> bool:
    """Whether new pods come up there, and all pods answer one another."""
    proof.scale(cluster.kubectl, 0, SECONDS)
    pods = proof.scale(cluster.kubectl, PODS, SECONDS)
    asker = next((pod for pod in pods if pod.node == node), None)
    if asker is None:
        return False
    others = [pod for pod in pods if pod.node != node]
    return all(proof.fetch(cluster.kubectl, asker.name, each.address)[0] for each in others)


def test_a_machine_under_another_name_is_another_node(cluster: Cluster) -> None:
    proof.scale(cluster.kubectl, PODS, SECONDS)
    hurry(cluster)
    try:
        forget(cluster, NODE)
        cluster.lab.felix_lab("fail", "process", NODE, "kubelet", "--hold")
        with kubelet(cluster, NEW):
            said = f"is configured but this machine started as '{NODE}'"
            cluster.kubectl.wait(
                "the agents say why not",
                lambda: None if said in agents_say(cluster, NEW) else "not said",
                SECONDS,
            )
            cluster.lab.exec(NODE, "rm", KEPT)
            assert eventually(lambda: agents_ready(cluster, NEW), SECONDS)
            assert eventually(lambda: not held(cluster, NODE), 120), held(cluster, NODE)
            assert not [key for key in dump(cluster) if f"/{NODE}" in key]
            assert eventually(lambda: runs_pods(cluster, NEW), SECONDS)
            forget(cluster, NEW)
            assert eventually(lambda: not held(cluster, NEW), 120), held(cluster, NEW)
    finally:
        cluster.lab.exec(NODE, "rm", "-f", KEPT)
        cluster.lab.felix_lab("heal", seconds=SECONDS)
        calm(cluster)
    assert eventually(lambda: agents_ready(cluster, NODE), SECONDS)
    assert eventually(lambda: runs_pods(cluster, NODE), SECONDS)
    assert eventually(lambda: disagreements(cluster) == [], 60), disagreements(cluster)
