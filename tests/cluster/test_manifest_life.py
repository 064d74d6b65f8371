"""The one file on a cluster without a network: installed, edited, restored, deleted, applied again."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from felix_py.datastore.identity import ACCEPTED
from felix_py.lab.errors import LabError
from felix_py.lab.kubernetes.configuration import AUDIT_LOG
from tests.support import rights
from tests.support.cluster import Cluster
from tests.support.installed import (
    FELIX,
    MANIFESTS,
    clean_up,
    delete,
    delete_pods,
    etcdctl,
    felixctl,
    install,
    job,
    the_file,
    until,
    until_ready,
)

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(400)]
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


def test_agents_are_ready_and_felixctl_works_in_them_without_arguments(installed: Cluster) -> None:
    until_ready(installed)
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
    install(installed, the_file(), ("blockSize: 26", "blockSize: 99"))
    told = "field pools: IPPool(default-ipv4-ippool): spec.blockSize: 99 is out of range"
    until(installed, "the Job names the field", lambda: told in job(installed))
    install(installed, the_file())
    until(installed, "the Job is done", lambda: "Completed" in job(installed))
    pool = json.loads(felixctl(installed, "get", "pool", "default-ipv4-ippool", "-o", "json"))
    assert pool["spec"].get("natOutgoing", False) is False
    assert pool["spec"]["blockSize"] == 26


def test_nobody_asks_the_api_server_in_vain_and_no_rule_is_idle(installed: Cluster) -> None:
    lines = installed.lab.exec("node-1", "cat", AUDIT_LOG).splitlines()
    asked = rights.requests(lines)
    assert rights.refused(asked, "felix-py") == []
    given = rights.grants(each for each in yaml.safe_load_all(the_file()) if each)
    idle = {(each.account, each.resource, each.verb) for each in rights.unused(given, asked)}
    assert idle <= SELDOM, f"grants that nothing needed: {sorted(idle - SELDOM)}"


def test_a_snapshot_is_restored_and_what_lives_is_registered_again_by_itself(
    installed: Cluster,
) -> None:
    kubectl, answer = installed.kubectl, ("-n", "lab", "deployment/answer")
    etcdctl(installed, "snapshot", "save", "/var/lib/felix-py-etcd/snapshots/restore.db")
    felixctl(installed, "apply", "-f", "-", stdin=POOL % ("later", "10.98.0.0/24"))
    kubectl.run("rollout", "restart", *answer)
    kubectl.run("rollout", "status", *answer, "--timeout=100s")
    kubectl.run("delete", *FELIX, "daemonset", "felix-py-etcd")
    kubectl.apply((MANIFESTS / "restore.yaml").read_text("utf-8"))
    kubectl.run(
        "wait", *FELIX, "--for=condition=complete", "job/felix-py-restore", "--timeout=100s"
    )
    install(installed, the_file())
    until(installed, "etcd answers", lambda: "later" not in felixctl(installed, "get", "pool"))
    until(installed, "it is accepted", lambda: ACCEPTED in etcdctl(installed, "get", ACCEPTED))
    until_ready(installed)
    until(installed, "all is well", lambda: "nothing is wrong" in felixctl(installed, "status"))
    alive = {pod["status"]["podIP"] for pod in kubectl.get("-n", "lab", "pods")}
    stored = felixctl(installed, "get", "workloadendpoint", "-n", "lab")
    assert alive <= set(re.findall(r"[0-9.]+(?=/32)", stored)), stored
    assert "nothing" in felixctl(installed, "ipam", "check", "--no-kernel")


def test_deleted_and_cleaned_nothing_is_left_and_pods_keep_their_network_until_then(
    installed: Cluster,
) -> None:
    kubectl = installed.kubectl
    pods = kubectl.get("-n", "lab", "pods")
    asker, target = pods[0]["metadata"]["name"], pods[-1]["status"]["podIP"]
    delete(installed)
    kubectl.run("exec", "-n", "lab", asker, "--", "ping", "-c", "20", "-i", "0.5", target)
    delete_pods(installed)
    assert clean_up(installed) == {}


def test_applied_again_it_works_again(installed: Cluster) -> None:
    install(installed, the_file())
    until_ready(installed)
    assert "nothing is wrong" in felixctl(installed, "status")
