"""Services by the real kube-proxy in both of its modes, and names by a real CoreDNS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from felix_py.lab.addressing import node_address
from felix_py.lab.kubernetes import place, proof, proxy
from felix_py.lab.machine import Machine
from tests.cluster.conftest import Clusters
from tests.support.cluster import Cluster
from tests.support.lab import eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
SECONDS = 400.0
PODS = 6
SERVICE = "answer.lab.svc.cluster.local"


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def proxied(request: pytest.FixtureRequest, clusters: Clusters) -> Iterator[Cluster]:
    """The cluster with kube-proxy in one mode, and pods behind a service."""
    cluster = clusters.get("cluster")
    proxy.switch(cluster.lab.home, cluster.topology, request.param)
    proof.scale(cluster.kubectl, PODS, SECONDS)
    yield cluster
    proxy.switch(cluster.lab.home, cluster.topology, place.spec(cluster.topology).proxy)


def service_address(cluster: Cluster) -> str:
    found = cluster.kubectl.run(
        "get", "service", "-n", proof.NAMESPACE, "answer", "-o", "jsonpath={.spec.clusterIP}"
    )
    return found.strip()


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
    script = (
        r"printf 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' | busybox nc -w 5 "
        f"{service_address(proxied)} 80 | tail -n 2 | head -n 1"
    )
    for _, node in proxied.topology.nodes:
        assert proxied.lab.exec(node.name, "sh", "-c", script).strip() in names


def test_a_node_port_answers_from_beyond_the_racks_on_every_node(proxied: Cluster) -> None:
    names = {pod.name for pod in proof.answering_pods(proxied.kubectl)}
    for _, node in proxied.topology.nodes:
        address = node_address(proxied.topology, node.name).ip
        script = (
            r"printf 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' | busybox nc -w 5 "
            f"{address} {proof.NODE_PORT} | tail -n 2 | head -n 1"
        )
        for tor in ("tor-a", "tor-b"):
            assert proxied.lab.exec(tor, "sh", "-c", script).strip() in names


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
