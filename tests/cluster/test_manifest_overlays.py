"""The overlays on a real cluster: three members of etcd, and an etcd of the operator's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from felix_py.lab.errors import LabError
from felix_py.lab.kubernetes import inside, proof
from tests.support.cluster import Cluster
from tests.support.etcd import freeze
from tests.support.installed import (
    FELIX,
    MANIFESTS,
    NODES,
    SECONDS,
    clean_up,
    delete,
    delete_pods,
    etcdctl,
    felixctl,
    install,
    kustomized,
    until,
    until_ready,
)
from tests.support.own_etcd import NOBODY, OwnEtcd

OVERLAYS = MANIFESTS / "overlays"
EXAMPLE = "https://etcd-1.example.com:2379,https://etcd-2.example.com:2379,https://etcd-3.example.com:2379"
pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]
AGENTS = "daemonset/felix-py-node"
MEMBERS = "control-plane-1,control-plane-2,control-plane-3"


@pytest.fixture
def bare(installed: Cluster) -> Cluster:
    """A cluster without a network."""
    take_away(installed)
    return installed


def take_away(cluster: Cluster) -> None:
    """As the document says."""
    delete(cluster)
    delete_pods(cluster)
    assert clean_up(cluster) == {}


def said(cluster: Cluster, sentence: str, of: str = "job/felix-py-install") -> None:
    """Wait until somebody's log has a sentence."""

    def found() -> bool:
        try:
            told = cluster.kubectl.run("logs", *FELIX, *of.split(), "--tail=50")
        except LabError:
            return False  # its container has not started yet
        return sentence in told

    until(cluster, f"{of} says {sentence!r}", found)


@contextmanager
def stopped(cluster: Cluster, node: str) -> Iterator[None]:
    """Meanwhile the member of etcd on a node keeps its connections and answers nothing."""
    pods = ("-l", "app.kubernetes.io/component=etcd", f"--field-selector=spec.nodeName={node}")
    (member,) = inside.containers(cluster.kubectl, *FELIX, *pods)
    pids = inside.processes(cluster.lab.home, member)
    assert pids, f"no process of {member}"
    for pid in pids:
        freeze(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def pods_answer(cluster: Cluster, number: int) -> None:
    """New pods, on every node that takes any, start and are reached from one another."""
    pods = proof.scale(cluster.kubectl, number, SECONDS)
    assert len({pod.node for pod in pods}) > 1
    complaints = proof.complaints(proof.look(cluster.kubectl, cluster.topology, pods))
    assert not complaints, complaints


def test_three_members_go_on_without_one_of_them(bare: Cluster) -> None:
    text = kustomized(OVERLAYS / "three-etcd-members")
    install(bare, text, (MEMBERS, ",".join(NODES)))
    until_ready(bare)
    listed = etcdctl(bare, "member", "list").splitlines()
    assert len([line for line in listed if ", started, " in line]) == len(NODES), listed
    with stopped(bare, "node-3"):
        pods_answer(bare, 4)
    until_ready(bare)
    assert "nothing is wrong" in felixctl(bare, "status")


def test_an_etcd_of_ones_own_says_what_is_wrong_and_serves_when_it_is_right(
    bare: Cluster, tmp_path: Path
) -> None:
    """First with passwords, then with certificates in their place: the same data."""
    overlay = kustomized(OVERLAYS / "existing-etcd-password")
    kubectl = bare.kubectl
    kubectl.run("create", "namespace", "felix-py")
    with OwnEtcd(bare, tmp_path) as etcd:
        kubectl.apply(etcd.passwords(node="guessed"))
        install(bare, overlay, (EXAMPLE, etcd.url(NOBODY)))
        said(bare, "nothing listens there: is etcd running, is datastore.endpoints right?")
        install(bare, overlay, (EXAMPLE, etcd.url()))
        kubectl.run("rollout", "restart", *FELIX, AGENTS)
        said(bare, "installed")
        said(bare, "authentication failed", f"{AGENTS} -c felix")
        kubectl.apply(etcd.passwords())
        kubectl.run("rollout", "restart", *FELIX, AGENTS)
        until_ready(bare)
        pods_answer(bare, 4)

        etcd.stop()
        etcd.start(by_certificate=True)
        kubectl.apply(etcd.certificates(stranger="node"))
        install(bare, kustomized(OVERLAYS / "existing-etcd"), (EXAMPLE, etcd.url()))
        said(
            bare,
            "etcd refuses our certificate: datastore.certFile must be signed by",
            f"{AGENTS} -c felix",
        )
        kubectl.apply(etcd.certificates())
        kubectl.run("rollout", "restart", *FELIX, AGENTS)
        until_ready(bare)
        pods_answer(bare, 6)
        assert "nothing is wrong" in felixctl(bare, "status")
