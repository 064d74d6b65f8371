"""What a cluster's API, our etcd and the nodes' kernels hold, read without product code, and compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.e2e import truth
from tests.e2e.truth import Etcd
from tests.support.cluster import Cluster

Endpoint = tuple[str, str, str, str]
"""Namespace, pod, node, address."""


def disagreements(cluster: Cluster) -> list[str]:
    """Sentences; empty when everything agrees."""
    etcd = truth.read_etcd(etcdctl(cluster))
    wrong = truth.compare_ipam(etcd)
    for _, node in cluster.topology.nodes:
        wrong += truth.compare_node(node.name, cluster.lab.home.netns(node.name), etcd)
    return wrong + compare_api(cluster.kubectl.get("pods", "-A"), etcd)


def etcdctl(cluster: Cluster) -> list[str]:
    """The command with its options."""
    return [*cluster.lab.inside("etcd"), "etcdctl"]


def compare_api(pods: Iterable[Mapping[str, Any]], etcd: Etcd) -> list[str]:
    """Disagreements between the API's pods and our endpoints. Pods on a host's network have none."""
    wanted: set[Endpoint] = {
        (
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            pod["spec"]["nodeName"],
            pod["status"]["podIP"],
        )
        for pod in pods
        if not pod["spec"].get("hostNetwork") and _runs(pod)
    }
    stored: set[Endpoint] = {
        (name.partition("/")[0], spec["pod"], spec["node"], network.partition("/")[0])
        for name, spec in etcd.endpoints.items()
        for network in spec["ipNetworks"]
    }
    wrong = [f"{_said(one)}: is in the API, not in etcd" for one in sorted(wanted - stored)]
    return wrong + [f"{_said(one)}: is in etcd, not in the API" for one in sorted(stored - wanted)]


def _runs(pod: Mapping[str, Any]) -> bool:
    ended = pod["status"]["phase"] in {"Succeeded", "Failed"}
    return bool(pod["status"].get("podIP")) and not ended


def _said(one: Endpoint) -> str:
    namespace, pod, node, address = one
    return f"pod {namespace}/{pod} on {node} with {address}"
