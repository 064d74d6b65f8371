"""From nothing to nodes that are Ready and pods that reach one another, and what is outside."""

from __future__ import annotations

import json
from functools import partial
from ipaddress import ip_address, ip_network

import pytest

from felix_py.lab import kernel_view
from felix_py.lab.kubernetes import place, proof
from felix_py.lab.kubernetes.kubectl import ready
from tests.support.cluster import Cluster
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
MANY = 60
PATIENCE_SECONDS = 400.0
"""For many pods on a busy host."""


def test_every_node_is_ready_and_the_proof_says_how_long_each_stage_took(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = cluster.kubectl.get("nodes")
    assert {node["metadata"]["name"] for node in nodes} == {"node-a1", "node-a2", "node-b1"}
    assert all(ready(node) for node in nodes)
    with capsys.disabled():
        print(f"\n{cluster.printed}")
    assert "nodes are Ready" in cluster.printed
    assert " s" in cluster.printed


def test_sixty_pods_answer_one_another_across_racks_and_reach_both_tors(cluster: Cluster) -> None:
    pods = proof.scale(cluster.kubectl, MANY, PATIENCE_SECONDS)
    assert {pod.node for pod in pods} == {"node-a1", "node-a2", "node-b1"}
    seen = proof.look(cluster.kubectl, cluster.topology, pods)
    assert proof.complaints(seen) == []
    assert len(seen) == MANY * (MANY - 1 + len(("tor-a", "tor-b")))
    assert kernel_view.tunnels(cluster.lab.home, cluster.topology) == []


def test_pods_have_the_addresses_that_our_plugin_gave_them(cluster: Cluster) -> None:
    pool = ip_network(place.pods_cidr(cluster.topology))
    stored = {
        value["spec"]["ipNetworks"][0].partition("/")[0]
        for value in cluster.lab.etcd(
            "/calico/resources/v3/projectcalico.org/workloadendpoints/"
        ).values()
    }
    pods = proof.answering_pods(cluster.kubectl)
    assert pods
    for pod in pods:
        assert ip_address(pod.address) in pool
        assert pod.address in stored


def test_a_pod_whose_way_is_cut_is_named_by_the_proof(cluster: Cluster) -> None:
    pods = proof.scale(cluster.kubectl, 6, PATIENCE_SECONDS)
    cut = pods[0]
    route = ("blackhole", f"{cut.address}/32", "metric", "1")
    cluster.lab.exec(cut.node, "ip", "route", "add", *route)
    try:
        said = proof.complaints(proof.look(cluster.kubectl, cluster.topology, pods))
    finally:
        cluster.lab.exec(cut.node, "ip", "route", "del", *route)
    for pod in pods[1:]:
        assert f"{pod.name} -> {cut.name}: no answer to a ping" in said


def test_pods_that_are_gone_leave_no_address_and_no_link(cluster: Cluster) -> None:
    pods = proof.scale(cluster.kubectl, 6, PATIENCE_SECONDS)
    there = {pod.node: pod.address for pod in pods}
    proof.scale(cluster.kubectl, 0, PATIENCE_SECONDS)
    for node, address in there.items():
        assert eventually(partial(_forgot, cluster, node, address), 120)
    held = cluster.lab.exec("node-a1", "felixctl", "ipam", "check")
    assert "leak" not in held.lower() or "0 leak" in held.lower()


def test_logs_and_exec_work_on_every_node(cluster: Cluster) -> None:
    for pod in proof.scale(cluster.kubectl, 3, PATIENCE_SECONDS):
        assert (
            cluster.kubectl.run("logs", "-n", proof.NAMESPACE, pod.name) == f"{pod.name} answers\n"
        )
        assert proof.ask(cluster.kubectl, pod.name, "hostname").strip() == pod.name


def test_port_forward_reaches_a_pod_on_another_node(cluster: Cluster) -> None:
    pods = proof.scale(cluster.kubectl, 6, PATIENCE_SECONDS)
    far = next(pod for pod in pods if pod.node != "node-a1")
    script = (
        f"timeout 60 kubectl port-forward -n {proof.NAMESPACE} {far.name} 18080:8080 & forward=$!\n"
        "for _ in $(seq 100); do\n"
        "  told=$(printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 127.0.0.1 18080)\n"
        '  [ -n "$told" ] && break; sleep 0.3\n'
        'done; kill $forward; echo "$told"'
    )
    assert far.name in cluster.lab.exec("node-a1", "sh", "-c", script).partition("200 OK")[2]


def _forgot(cluster: Cluster, node: str, address: str) -> bool:
    return not json.loads(cluster.lab.exec(node, "ip", "-j", "route", "show", address))
