"""The endpoint of a pod that Kubernetes knows, in Calico's form for Kubernetes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest

from cni.attachments import record_of
from cni.endpoint import Birth, assign_request, render_endpoint
from cni.errors import BadAnnotation, UnsupportedField
from cni.facts import configured, facts_of
from cni.living import request_for
from cni.naming import names_of
from cni.request import Request
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import KeyValue
from tests.unit.cni.kube import namespace, pod
from tests.unit.cni.requests import CONTAINER, K8S_ARGS, request

NODE = NodeName("worker-1")
AT = datetime(2026, 8, 22, 10, 0, 3, tzinfo=UTC)
ADDRESSES = (ip_address("10.244.1.7"),)
P = "cni.projectcalico.org/"


def _known(annotations: dict[str, str] | None = None, **conf: Any) -> Request:
    made = request(args=K8S_ARGS, policy={"type": "k8s"}, **conf)
    facts = facts_of(pod(annotations=annotations), namespace())
    return replace(made, conf=configured(made.conf, facts), facts=facts)


def _rendered(made: Request, stored: bytes | None = None) -> dict[str, Any]:
    names = names_of(made, NODE)
    standing = None if stored is None else KeyValue(names.endpoint.path, stored, 1, 1)
    text = render_endpoint(made, names, NODE, Birth("uid", AT), (ADDRESSES, standing))
    document: dict[str, Any] = json.loads(text)
    return document


def test_the_endpoint_is_calicos_for_kubernetes() -> None:
    made = _known()
    names = names_of(made, NODE)
    assert names.host_link == "cali7fcc33642a0"
    assert _rendered(made) == {
        "kind": "WorkloadEndpoint",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {
            "name": "worker--1-k8s-nginx--1-eth0",
            "generateName": "nginx-",
            "namespace": "default",
            "uid": "uid",
            "creationTimestamp": "2026-08-22T10:00:03Z",
            "labels": {
                "app": "web",
                "projectcalico.org/namespace": "default",
                "projectcalico.org/orchestrator": "k8s",
                "projectcalico.org/serviceaccount": "builder",
            },
        },
        "spec": {
            "orchestrator": "k8s",
            "node": "worker-1",
            "containerID": CONTAINER,
            "pod": "nginx-1",
            "endpoint": "eth0",
            "serviceAccountName": "builder",
            "ipNetworks": ["10.244.1.7/32"],
            "profiles": ["kns.default", "ksa.default.builder"],
            "interfaceName": "cali7fcc33642a0",
            "mac": names.mac,
            "ports": [
                {"name": "http", "protocol": "TCP", "port": 80, "hostPort": 0, "hostIP": ""},
                {
                    "name": "",
                    "protocol": "UDP",
                    "port": 53,
                    "hostPort": 5353,
                    "hostIP": "192.0.2.1",
                },
            ],
        },
    }


def test_a_newer_pod_of_the_name_keeps_no_label_or_port_of_the_older() -> None:
    first = _rendered(_known())
    first["metadata"]["labels"]["old"] = "label"
    first["spec"]["ports"].append({"name": "old"})
    first["spec"]["qosControls"] = {"egressBandwidth": 5_000_000}
    again = _rendered(_known(), json.dumps(first).encode())
    assert again["metadata"]["labels"] == _rendered(_known())["metadata"]["labels"]
    assert again["spec"]["ports"] == _rendered(_known())["spec"]["ports"]
    assert again["spec"]["qosControls"] == {"egressBandwidth": 5_000_000}


def test_limits_and_sources_stand_in_the_endpoint() -> None:
    made = _known(
        {
            "kubernetes.io/egress-bandwidth": "10M",
            P + "allowedSourcePrefixes": '["203.0.113.0/24"]',
        }
    )
    spec = _rendered(made)["spec"]
    assert spec["qosControls"] == {"egressBandwidth": 10_000_000}
    assert spec["allowSpoofedSourcePrefixes"] == ["203.0.113.0/24"]


def test_wishes_replace_what_the_network_says_for_all_pods() -> None:
    ipam = {"ipv4_pools": ["net"], "ipv6_pools": ["net-six"], "assign_ipv6": "true"}
    conf = _known({P + "ipv4pools": '["mine"]'}, ipam=ipam).conf
    assert (conf.pools, conf.families) == ({4: ("mine",), 6: ("net-six",)}, (4, 6))
    conf = _known({P + "ipFamilies": '["IPv6"]'}, ipam=ipam).conf
    assert conf.families == (6,)
    conf = _known({P + "ipAddrs": '["10.244.1.9"]', P + "hwAddr": "0a:00:00:00:00:01"}).conf
    assert (conf.addresses, conf.mac) == ((ip_address("10.244.1.9"),), "0a:00:00:00:00:01")
    with pytest.raises(BadAnnotation, match="ipFamilies"):
        _known({P + "ipFamilies": '["IPv6"]'})


def test_ipam_is_told_the_pools_by_family_and_the_namespaces_labels() -> None:
    made = _known({P + "ipv4pools": '["mine"]'})
    asked = assign_request(made, names_of(made, NODE), NODE, Birth("uid", AT))
    assert asked.family_pools == {4: ("mine",)}
    assert asked.namespace_labels == {
        "team": "a",
        "kubernetes.io/metadata.name": "default",
        "projectcalico.org/name": "default",
    }
    assert {"namespace": "default", "pod": "nginx-1", "node": "worker-1"}.items() <= dict(
        asked.attributes
    ).items()


def test_a_store_that_lost_the_endpoint_gets_it_back_as_it_was() -> None:
    made = _known({"kubernetes.io/egress-bandwidth": "10M"})
    first = _rendered(made)
    lost = request_for(record_of(made, names_of(made, NODE), ADDRESSES), NODE, AT)
    assert lost.endpoint is not None
    again = json.loads(lost.endpoint.render(ADDRESSES, None))
    for document in (first, again):
        document["metadata"].pop("uid")
    assert again == first


def test_addresses_past_ipam_need_the_networks_leave() -> None:
    asks = {P + "ipAddrsNoIpam": '["203.0.113.9"]'}
    with pytest.raises(UnsupportedField, match="does not allow it"):
        _known(asks)
    made = _known(asks, feature_control={"ip_addrs_no_ipam": True})
    asked = assign_request(made, names_of(made, NODE), NODE, Birth("uid", AT))
    assert (asked.addresses, asked.outside) == ((ip_address("203.0.113.9"),), True)
    record = record_of(made, names_of(made, NODE), asked.addresses)
    assert request_for(record, NODE, AT).outside


def test_floating_addresses_need_the_networks_leave_and_an_address_of_their_family() -> None:
    asks = {P + "floatingIPs": '["10.250.0.9"]'}
    with pytest.raises(UnsupportedField, match=r"feature_control\.floating_ips"):
        _known(asks)
    allowed = {"feature_control": {"floating_ips": True}}
    with pytest.raises(BadAnnotation, match="fd00::9: the pod gets no IPv6"):
        _known({P + "floatingIPs": '["fd00::9"]'}, **allowed)
    made = _known(asks, **allowed)
    first = _rendered(made)
    assert first["spec"]["ipNATs"] == [{"internalIP": "10.244.1.7", "externalIP": "10.250.0.9"}]
    lost = request_for(record_of(made, names_of(made, NODE), ADDRESSES), NODE, AT)
    assert lost.endpoint is not None
    assert json.loads(lost.endpoint.render(ADDRESSES, None))["spec"] == first["spec"]
    assert "ipNATs" not in _rendered(_known(), json.dumps(first).encode())["spec"]


def test_a_service_account_with_a_very_long_name_has_no_label() -> None:
    long = replace(pod(), service_account="a" * 63)
    assert facts_of(long, namespace()).labels == {"app": "web"}
