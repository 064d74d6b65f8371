"""Services by the real kube-proxy in both of its modes, and names by a real CoreDNS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from felix_py.lab.addressing import node_address, targets_outside
from felix_py.lab.kubernetes import place, proof, proxy
from felix_py.lab.machine import Machine
from tests.cluster.conftest import Clusters
from tests.support.cluster import Cluster
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
SECONDS = 400.0
PODS = 6
SERVICE = "answer.lab.svc.cluster.local"
MANIFEST = Path(__file__).with_name("manifests") / "services.yaml"
ASK = """
import socket, sys
address, port, source = sys.argv[1:]
try:
    with socket.create_connection((address, port), 4, source_address=(source, 0)) as asked:
        asked.sendall(b"GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n")
        while said := asked.recv(4096):
            sys.stdout.write(said.decode())
except OSError:
    pass
"""
HOST_PORT, LOCAL_PORT, ANYWHERE_PORT = 31080, 30081, 30082


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def proxied(request: pytest.FixtureRequest, clusters: Clusters) -> Iterator[Cluster]:
    """The cluster with kube-proxy in one mode, and pods behind a service."""
    cluster = clusters.get("cluster")
    proxy.switch(cluster.lab.home, cluster.topology, request.param)
    proof.scale(cluster.kubectl, PODS, SECONDS)
    cluster.kubectl.apply(MANIFEST.read_text())
    for kind in ("daemonset/hosted", "deployment/there", "deployment/probed"):
        rollout(cluster, kind)
    yield cluster
    cluster.kubectl.run("delete", "-f", "-", stdin=MANIFEST.read_text())
    proxy.switch(cluster.lab.home, cluster.topology, place.spec(cluster.topology).proxy)


def rollout(cluster: Cluster, kind: str) -> None:
    within = f"--timeout={SECONDS:.0f}s"
    status = ("rollout", "status", "-n", proof.NAMESPACE, kind, within)
    cluster.kubectl.run(*status, timeout_seconds=SECONDS + 10)


def service_address(cluster: Cluster, name: str = "answer") -> str:
    found = cluster.kubectl.run(
        "get", "service", "-n", proof.NAMESPACE, name, "-o", "jsonpath={.spec.clusterIP}"
    )
    return found.strip()


def pods_of(cluster: Cluster, app: str) -> dict[str, str]:
    """The node of each pod by the pod's name."""
    found = cluster.kubectl.get("pods", "-n", proof.NAMESPACE, "-l", f"app={app}")
    return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in found}


def ask_from(
    cluster: Cluster, machine: str, address: object, port: int, source: str = ""
) -> list[str]:
    """Who answered a machine, and as whom it saw the machine; nothing when nobody did."""
    python = (sys.executable, "-I", "-S", "-c", ASK)
    return cluster.lab.exec(machine, *python, str(address), str(port), source).split()[-2:]


def test_only_the_rules_of_the_mode_are_there(proxied: Cluster) -> None:
    mode = proxied.lab.exec("node-b1", "sh", "-c", "cat /etc/kubernetes/kube-proxy.json")
    for _, node in proxied.topology.nodes:
        machine = Machine(proxied.lab.home, node.name)
        filled = {each for each in proxy.TABLES if proxy.fills(machine, each)}
        assert len(filled) == 1
        assert f'"mode": "{filled.pop()}"' in mode


def test_a_service_address_leads_to_every_pod_behind_it(proxied: Cluster) -> None:
    pods = proof.answering_pods(proxied.kubectl)
    address = service_address(proxied)
    for source in pods[:2]:
        answered = proof.answered_by(proxied.kubectl, source.name, address, 80, times=80)
        assert answered == {pod.name for pod in pods}


def test_a_service_answers_its_node_too(proxied: Cluster) -> None:
    names = {pod.name for pod in proof.answering_pods(proxied.kubectl)}
    for _, node in proxied.topology.nodes:
        assert ask_from(proxied, node.name, service_address(proxied), 80)[0] in names


def test_a_node_port_answers_from_beyond_the_racks_on_every_node(proxied: Cluster) -> None:
    names = {pod.name for pod in proof.answering_pods(proxied.kubectl)}
    for _, node in proxied.topology.nodes:
        address = node_address(proxied.topology, node.name).ip
        for tor in ("tor-a", "tor-b"):
            assert ask_from(proxied, tor, address, proof.NODE_PORT)[0] in names


def test_a_host_port_answers_on_its_node_with_the_pod_that_is_there(proxied: Cluster) -> None:
    hosted = pods_of(proxied, "hosted")
    assert set(hosted.values()) == {node.name for _, node in proxied.topology.nodes}
    asker = proof.answering_pods(proxied.kubectl)[0]
    for name, node in hosted.items():
        address = node_address(proxied.topology, node).ip
        for tor in ("tor-a", "tor-b"):
            assert ask_from(proxied, tor, address, HOST_PORT)[:1] == [name]
        assert proof.fetch(proxied.kubectl, asker.name, str(address), HOST_PORT)[0] == name


def test_a_client_that_stays_with_a_pod_gets_the_same_one_each_time(proxied: Cluster) -> None:
    address = service_address(proxied, "sticky")
    for source in proof.answering_pods(proxied.kubectl)[:3]:
        answered = proof.answered_by(proxied.kubectl, source.name, address, 80, times=40)
        assert len(answered) == 1


def test_a_local_node_port_shows_who_asks_and_answers_only_where_its_pod_is(
    proxied: Cluster,
) -> None:
    (there,) = pods_of(proxied, "there")
    asked_as = str(targets_outside(proxied.topology)["tor-a"])
    for _, node in proxied.topology.nodes:
        address = node_address(proxied.topology, node.name).ip
        local = ask_from(proxied, "tor-a", address, LOCAL_PORT, asked_as)
        assert local == ([there, asked_as] if node.name == "node-b1" else [])
        anywhere = ask_from(proxied, "tor-a", address, ANYWHERE_PORT, asked_as)
        assert anywhere[0] == there
        assert anywhere[1] != asked_as


def test_a_pod_that_is_not_ready_is_left_out_and_one_that_is_ill_is_started_again(
    proxied: Cluster,
) -> None:
    (name,) = pods_of(proxied, "probed")
    asker = proof.answering_pods(proxied.kubectl)[0]
    address = service_address(proxied, "probed")

    def answered() -> bool:
        return proof.fetch(proxied.kubectl, asker.name, address, 80)[:1] == (name,)

    assert eventually(answered, 60)
    proof.ask(proxied.kubectl, name, "rm /tmp/w/ready")
    assert eventually(lambda: not answered(), 60)
    proof.ask(proxied.kubectl, name, "rm /tmp/w/alive")
    assert eventually(lambda: _restarts(proxied, name) > 0, 60)
    assert eventually(answered, 60)


def test_names_resolve_to_services_to_each_pod_and_to_the_outside(proxied: Cluster) -> None:
    pods = proof.answering_pods(proxied.kubectl)
    resolver, address = place.resolver(proxied.topology)
    wanted = {
        SERVICE: [service_address(proxied)],
        "each.lab.svc.cluster.local": sorted(pod.address for pod in pods),
        f"{resolver}.{place.OUTSIDE_ZONE}": [str(address)],
        "nobody.lab.svc.cluster.local": [],
    }
    for pod in pods:
        for name, addresses in wanted.items():
            told = partial(_resolves, proxied, pod.name, name, addresses)
            assert eventually(told, 60), (pod, name)


def test_the_service_of_pods_that_are_gone_refuses(proxied: Cluster) -> None:
    asker = proof.answering_pods(proxied.kubectl)[0]
    proxied.kubectl.run(
        "patch", "service", "-n", "lab", "answer", "-p", '{"spec":{"selector":{"app":"x"}}}'
    )
    try:
        address = service_address(proxied)
        gone = ("", "")
        assert eventually(lambda: proof.fetch(proxied.kubectl, asker.name, address, 80) == gone, 60)
    finally:
        proof.scale(proxied.kubectl, PODS, SECONDS)


def _resolves(cluster: Cluster, pod: str, name: str, addresses: list[str]) -> bool:
    return proof.resolves(cluster.kubectl, pod, name) == addresses


def _restarts(cluster: Cluster, pod: str) -> int:
    (found,) = [
        each
        for each in cluster.kubectl.get("pods", "-n", proof.NAMESPACE, "-l", "app=probed")
        if each["metadata"]["name"] == pod
    ]
    return int(found["status"]["containerStatuses"][0]["restartCount"])
