from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

from hypothesis import given
from hypothesis.strategies import from_regex

from cni.endpoint import Birth, assign_request, render_endpoint
from cni.naming import names_of
from cni.request import CONTAINER_ID, parse
from felix_py.datastore.codec import decode
from felix_py.datastore.model import NodeName, WorkloadEndpoint
from felix_py.datastore.store import KeyValue
from tests.unit.cni.requests import CONTAINER, K8S_ARGS, raw, request

NODE = NodeName("worker-1")
BIRTH = Birth("d1bcb8bf-ca94-4fb9-bc87-1c56577410e9", datetime(2026, 11, 21, 20, 56, 20, 5, UTC))
ADDRESSES = (ip_address("10.244.0.10"),)
K8S = request(args=K8S_ARGS, policy={"type": "k8s"})


def test_a_pods_endpoint_is_written_as_calico_writes_it() -> None:
    names = names_of(K8S, NODE)
    text = render_endpoint(K8S, names, NODE, BIRTH, (ADDRESSES, None))
    assert (
        text
        == (
            '{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{'
            '"name":"worker--1-k8s-nginx--1-eth0","namespace":"default",'
            '"uid":"d1bcb8bf-ca94-4fb9-bc87-1c56577410e9","creationTimestamp":"2026-11-21T20:56:20Z",'
            '"labels":{"projectcalico.org/namespace":"default","projectcalico.org/orchestrator":"k8s"}},'
            f'"spec":{{"orchestrator":"k8s","node":"worker-1","containerID":"{CONTAINER}",'
            '"pod":"nginx-1","endpoint":"eth0","ipNetworks":["10.244.0.10/32"],'
            f'"profiles":["kns.default"],"interfaceName":"cali7fcc33642a0","mac":"{names.mac}"}}}}'
        ).encode()
    )


def test_what_we_write_we_can_read() -> None:
    for one in (K8S, request(args_=1)):
        names = names_of(one, NODE)
        text = render_endpoint(one, names, NODE, BIRTH, (ADDRESSES, None))
        value = decode(names.endpoint, text)
        assert isinstance(value, WorkloadEndpoint), value
        assert value.container_id == CONTAINER
        assert value.interface_name == names.host_link


@given(container=from_regex(CONTAINER_ID, fullmatch=True).filter(lambda text: len(text) < 99))
def test_whatever_container_id_we_take_we_can_read(container: str) -> None:
    one = parse(replace(raw(), container_id=container))
    names = names_of(one, NODE)
    value = decode(names.endpoint, render_endpoint(one, names, NODE, BIRTH, (ADDRESSES, None)))
    assert isinstance(value, WorkloadEndpoint), value
    assert value.container_id == container


def test_an_endpoint_that_stands_keeps_what_we_do_not_know() -> None:
    names = names_of(K8S, NODE)
    stored = KeyValue(
        names.endpoint.path,
        b'{"metadata":{"uid":"u","labels":{"app":"web"}},'
        b'"spec":{"containerID":"old","ports":[{"name":"http"}]},"novel":1}',
        1,
        1,
    )
    document = json.loads(render_endpoint(K8S, names, NODE, BIRTH, (ADDRESSES, stored)))
    assert document["metadata"]["labels"]["app"] == "web"
    assert document["metadata"]["uid"] == "u"
    assert document["spec"]["ports"] == [{"name": "http"}]
    assert document["spec"]["containerID"] == CONTAINER
    assert document["novel"] == 1


def test_an_operators_limits_outlive_a_repeated_add_and_a_new_sandbox_of_the_pod() -> None:
    names = names_of(K8S, NODE)
    first = json.loads(render_endpoint(K8S, names, NODE, BIRTH, (ADDRESSES, None)))
    first["spec"] |= {"qosControls": {"ingressBandwidth": 1000000}, "containerID": "before"}
    stored = KeyValue(names.endpoint.path, json.dumps(first).encode(), 1, 1)
    again = json.loads(render_endpoint(K8S, names, NODE, BIRTH, (ADDRESSES, stored)))
    assert again["spec"]["qosControls"] == {"ingressBandwidth": 1000000}
    assert again["spec"]["containerID"] == CONTAINER


def test_what_is_no_object_counts_as_absent() -> None:
    names = names_of(K8S, NODE)
    stored = KeyValue(names.endpoint.path, b"nonsense", 1, 1)
    fresh = render_endpoint(K8S, names, NODE, BIRTH, (ADDRESSES, None))
    assert render_endpoint(K8S, names, NODE, BIRTH, (ADDRESSES, stored)) == fresh


def test_ipam_is_told_who_holds_the_address() -> None:
    asked = assign_request(K8S, names_of(K8S, NODE), NODE, BIRTH)
    assert asked.attributes == {
        "node": "worker-1",
        "namespace": "default",
        "pod": "nginx-1",
        "timestamp": "2026-11-21 20:56:20.000005 +0000 UTC",
    }
    assert asked.namespace_labels["kubernetes.io/metadata.name"] == "default"


def test_without_kubernetes_labels_come_from_args_and_the_profile_is_the_network() -> None:
    plain = request(name="lab")
    labelled = request(name="lab")
    assert plain == labelled
    names = names_of(plain, NODE)
    document = json.loads(render_endpoint(plain, names, NODE, BIRTH, (ADDRESSES, None)))
    assert document["spec"]["profiles"] == ["lab"]
    assert "pod" not in document["spec"]
