from __future__ import annotations

from dataclasses import replace

import pytest

from cni.errors import BadEnvironment
from cni.naming import names_of, pod_mac
from cni.request import parse
from felix_py.datastore.model import HandleId, NodeName
from tests.unit.cni.requests import CONTAINER, K8S_ARGS, raw, request

NODE = NodeName("worker-1")


@pytest.mark.parametrize(
    ("namespace", "pod", "link"),
    [
        ("default", "nginx", "calic440f455693"),
        ("default", "nginx-1", "cali7fcc33642a0"),
        ("kube-system", "coredns-5d78c9869d-abcde", "cali4d5f75c480c"),
        ("namespace", "podname", "cali82111e10a96"),
    ],
)
def test_pods_of_kubernetes_have_calicos_link_names(namespace: str, pod: str, link: str) -> None:
    named = request(args=f"K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod}")
    assert names_of(named, NODE).host_link == link


def test_the_endpoint_of_a_pod_has_calicos_name() -> None:
    names = names_of(request(args=K8S_ARGS), NODE)
    assert names.endpoint.path.endswith("/workloadendpoints/default/worker--1-k8s-nginx--1-eth0")
    assert names.orchestrator == "k8s"


def test_without_kubernetes_the_container_names_the_endpoint() -> None:
    names = names_of(request(), NODE)
    assert names.endpoint.name == f"worker--1-cni-{CONTAINER}-eth0"
    assert (names.endpoint.namespace, names.orchestrator) == ("default", "cni")


def test_containers_that_share_eleven_characters_have_links_of_their_own() -> None:
    one, other = (
        names_of(parse(replace(raw(), container_id="cafebabe0123456" + end)), NODE).host_link
        for end in ("a", "b")
    )
    assert one != other
    assert len(one) == len(other) == 15


def test_a_second_interface_of_a_pod_has_a_link_of_its_own() -> None:
    second = parse(replace(raw(args=K8S_ARGS), ifname="net1"))
    assert names_of(second, NODE).host_link != names_of(request(args=K8S_ARGS), NODE).host_link


def test_the_mac_is_local_unicast_and_stays_the_same() -> None:
    mac = pod_mac(HandleId("net.a"), "eth0")
    assert int(mac[:2], 16) & 3 == 2
    assert mac == pod_mac(HandleId("net.a"), "eth0") != pod_mac(HandleId("net.b"), "eth0")


def test_a_node_name_that_ends_in_a_dash_is_refused() -> None:
    with pytest.raises(BadEnvironment):
        names_of(request(), NodeName("worker-"))
