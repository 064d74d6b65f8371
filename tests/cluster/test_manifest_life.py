"""The one file on a cluster without a network: installed, edited, restored, deleted, applied again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from felix_py.lab.errors import LabError
from felix_py.lab.kubernetes.configuration import AUDIT_LOG
from felix_py.lab.kubernetes.kubectl import ready
from image import __main__ as image
from image import build
from tests.support import rights
from tests.support.cluster import UP_SECONDS, Cluster
from tests.support.lab import Lab

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
FELIX, OURS = ("-n", "felix-py"), ("-n", "felix-py-cleanup")
SECONDS = 180.0
NODES = ("node-1", "node-2", "node-3")
POOL = "{kind: IPPool, apiVersion: projectcalico.org/v3, metadata: {name: %s}, spec: {cidr: %s}}"


SELDOM = {
    ("felix-py/felix-py-install", "secrets", "patch"),  # a certificate is renewed
    ("felix-py/felix-py-node", "pods", "get"),  # the watch is behind
    ("felix-py/felix-py-node", "namespaces", "get"),
    ("felix-py/felix-py-node", "events", "create"),  # a pod asks for what cannot be
    ("felix-py/felix-py-node", "events", "patch"),
    ("felix-py/felix-py-controllers", "nodes", "get"),  # a node or pod is gone
    ("felix-py/felix-py-controllers", "pods", "get"),
    ("felix-py/felix-py-controllers", "events", "create"),  # there is a NetworkPolicy
    ("felix-py/felix-py-controllers", "events", "patch"),
}
"""What the tests of this module give no cause for."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One subnet, three nodes, and the manifest as it is."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    directory = tmp_path_factory.mktemp("manifest")
    image.write(directory, build.version())
    images = [word for path in directory.glob("*.tar") for word in ("--image", str(path))]
    lab = Lab(directory)
    manifest = ["--manifest", str(MANIFESTS / "felix-py.yaml")]
    try:
        done = lab.felix_lab("up", "cluster-plain", *images, *manifest, seconds=UP_SECONDS)
        yield Cluster(lab, done.stdout)
    finally:
        lab.felix_lab("down", check=False)


def felixctl(
    cluster: Cluster, *arguments: str, stdin: str = "", container: str = "felixctl"
) -> str:
    where = ("exec", "-i", *FELIX, "daemonset/felix-py-node", "-c", container, "--")
    return cluster.kubectl.run(*where, "felixctl", *arguments, stdin=stdin)


def etcdctl(cluster: Cluster, *arguments: str) -> str:
    where = ("exec", *FELIX, "daemonset/felix-py-etcd", "-c", "etcd", "--")
    return cluster.kubectl.run(*where, "etcdctl", *arguments)


def until(cluster: Cluster, what: str, holds: Callable[[], bool]) -> None:
    cluster.kubectl.wait(what, lambda: None if holds() else "it is not so", SECONDS)


def apply_felix_py(cluster: Cluster, *changes: tuple[str, str]) -> None:
    """Run the installation again, with the manifest changed like this."""
    text = (MANIFESTS / "felix-py.yaml").read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    cluster.kubectl.run("delete", *FELIX, "job", "felix-py-install", "--ignore-not-found")
    cluster.kubectl.apply(text)


def job(cluster: Cluster) -> str:
    """The install Job's last words, as kubelet tells them."""
    pods = cluster.kubectl.get(*FELIX, "pods", "-l", "app.kubernetes.io/component=install")
    states = [
        status.get(kind, {}).get("terminated", {})
        for pod in pods
        for status in pod["status"].get("containerStatuses", ())
        for kind in ("state", "lastState")
    ]
    return " ".join(str(state.get("message", state.get("reason", ""))) for state in states)


def all_ready(cluster: Cluster) -> bool:
    agents = cluster.kubectl.get(*FELIX, "pods", "-l", "app.kubernetes.io/component=node")
    nodes = cluster.kubectl.get("nodes")
    return len(agents) == len(NODES) and all(map(ready, [*agents, *nodes]))


def test_agents_are_ready_and_felixctl_works_in_them_without_arguments(installed: Cluster) -> None:
    until(installed, "agents are ready", partial(all_ready, installed))
    assert "default-ipv4-ippool" in felixctl(installed, "get", "pool")
    assert "nothing is wrong" in felixctl(installed, "status")


def test_an_agents_own_certificate_cannot_write_pools(installed: Cluster) -> None:
    pool = POOL % ("stolen", "10.99.0.0/24")
    with pytest.raises(LabError, match="permission denied"):
        felixctl(installed, "apply", "-f", "-", stdin=pool, container="felix")
    assert "stolen" not in felixctl(installed, "get", "pool")


def test_etcd_answers_nobody_without_a_certificate(installed: Cluster) -> None:
    url = "https://127.0.0.1:12379"
    none = ("--cert=", "--key=", "--cacert=/etc/felix-py/etcd/ca.crt", "--command-timeout=3s")
    with pytest.raises(LabError):
        etcdctl(installed, *none, f"--endpoints={url}", "get", "/", "--prefix", "--limit=1")


def test_a_bad_value_is_one_sentence_and_an_operators_edit_stays(installed: Cluster) -> None:
    edited = json.loads(felixctl(installed, "get", "pool", "default-ipv4-ippool", "-o", "json"))
    edited["spec"]["natOutgoing"] = False
    felixctl(installed, "apply", "-f", "-", stdin=json.dumps(edited))
    apply_felix_py(installed, ("blockSize: 26", "blockSize: 99"))
    told = "field pools: IPPool(default-ipv4-ippool): spec.blockSize: 99 is out of range"
    until(installed, "the Job names the field", lambda: told in job(installed))
    apply_felix_py(installed)
    until(installed, "the Job is done", lambda: "Completed" in job(installed))
    pool = json.loads(felixctl(installed, "get", "pool", "default-ipv4-ippool", "-o", "json"))
    assert pool["spec"].get("natOutgoing", False) is False
    assert pool["spec"]["blockSize"] == 26


def test_nobody_asks_the_api_server_in_vain_and_no_rule_is_idle(installed: Cluster) -> None:
    lines = installed.lab.exec("node-1", "cat", AUDIT_LOG).splitlines()
    asked = rights.requests(lines)
    assert rights.refused(asked, "felix-py") == []
    text = (MANIFESTS / "felix-py.yaml").read_text("utf-8")
    given = rights.grants(each for each in yaml.safe_load_all(text) if each)
    idle = {(each.account, each.resource, each.verb) for each in rights.unused(given, asked)}
    assert idle <= SELDOM, f"grants that nothing needed: {sorted(idle - SELDOM)}"


def test_a_snapshot_is_restored_and_agents_go_on_when_it_is_accepted(installed: Cluster) -> None:
    kubectl = installed.kubectl
    etcdctl(installed, "snapshot", "save", "/var/lib/felix-py-etcd/snapshots/restore.db")
    felixctl(installed, "apply", "-f", "-", stdin=POOL % ("later", "10.98.0.0/24"))
    kubectl.run("delete", *FELIX, "daemonset", "felix-py-etcd")
    kubectl.apply((MANIFESTS / "restore.yaml").read_text("utf-8"))
    kubectl.run(
        "wait", *FELIX, "--for=condition=complete", "job/felix-py-restore", "--timeout=100s"
    )
    apply_felix_py(installed)
    until(installed, "etcd answers", lambda: "later" not in felixctl(installed, "get", "pool"))
    felixctl(installed, "datastore", "accept")
    until(installed, "agents are ready", partial(all_ready, installed))


def test_deleted_and_cleaned_nothing_is_left_and_pods_keep_their_network_until_then(
    installed: Cluster,
) -> None:
    kubectl = installed.kubectl
    pods = kubectl.get("-n", "lab", "pods")
    asker, target = pods[0]["metadata"]["name"], pods[-1]["status"]["podIP"]
    text = (MANIFESTS / "felix-py.yaml").read_text("utf-8")
    kubectl.run("delete", "-f", "-", "--wait=false", stdin=text)
    kubectl.apply((MANIFESTS / "cleanup.yaml").read_text("utf-8"))
    kubectl.run("exec", "-n", "lab", asker, "--", "ping", "-c", "20", "-i", "0.5", target)
    kubectl.run("delete", "namespace", "lab", "--timeout=100s")
    kubectl.run("delete", "-n", "kube-system", "deployment", "coredns")
    kubectl.run("rollout", "status", *OURS, "daemonset/felix-py-cleanup", "--timeout=110s")
    kubectl.run("wait", "--for=delete", "namespace/felix-py", "--timeout=110s")
    for node in NODES:
        assert left_on(installed, node) == ""
    kubectl.run("label", "nodes", "--all", "felix-py.io/etcd-")
    kubectl.run("delete", "-f", "-", stdin=(MANIFESTS / "cleanup.yaml").read_text("utf-8"))


def test_applied_again_it_works_again(installed: Cluster) -> None:
    apply_felix_py(installed)
    until(installed, "agents are ready", partial(all_ready, installed))
    assert "nothing is wrong" in felixctl(installed, "status")


def left_on(cluster: Cluster, node: str) -> str:
    """What of ours a node has, in the words of ip, nft and ls; its snapshots may stay."""
    folders = "/run/felix-py /var/lib/felix-py /opt/cni/bin /etc/cni/net.d"
    look = (
        "ip -o link; ip -4 route show table all; ip -6 route show table all; nft list ruleset; "
        f"find {folders} -mindepth 1; find /var/lib/felix-py-etcd -type f -not -path '*/snapshots/*'"
    )
    seen = cluster.lab.exec(node, "sh", "-c", look)
    marks = r"cali|proto 8[01]\b|felix-py|fpq|tunl0:.*UP|/opt/cni|/etc/cni"
    return "\n".join(line for line in seen.splitlines() if re.search(marks, line))
