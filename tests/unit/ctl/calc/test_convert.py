"""Calico's API v1 to v3: each kind, and what has no form in v3."""

from __future__ import annotations

from typing import Any

import pytest

from felix_py.ctl.calc.convert import convert
from felix_py.ctl.calc.convert_names import dotless_name, ip_name, node_name, profile_name
from felix_py.ctl.calc.convert_rules import ConvertError
from felix_py.ctl.documents import of_mapping
from felix_py.ctl.writer import check


def old(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


PEER = {"scope": "node", "node": "Worker_1", "peerIP": "192.0.2.1"}
ENDPOINT = {"name": "eth0", "node": "n1", "orchestrator": "k8s", "workload": "x.web"}
RULE = {"action": "deny", "protocol": "icmpv6", "source": {"tag": "fe", "selector": "has(a)"}}


@pytest.mark.parametrize(
    ("document", "kind", "name", "spec"),
    [
        (
            old("ipPool", {"cidr": "10.1.0.0/16"}, {"ipip": {"enabled": True}, "disabled": True}),
            "IPPool",
            "10-1-0-0-16",
            {"cidr": "10.1.0.0/16", "ipipMode": "Always", "disabled": True},
        ),
        (
            old("bgpPeer", PEER, {"asNumber": 1}),
            "BGPPeer",
            "worker-1.192-0-2-1",
            {"node": "worker-1", "peerIP": "192.0.2.1", "asNumber": 1},
        ),
        (
            old("node", {"name": "N"}, {"bgp": {"ipv4Address": "10.0.0.1/24", "asNumber": 5}}),
            "Node",
            "n",
            {"bgp": {"asNumber": 5, "ipv4Address": "10.0.0.1/24"}},
        ),
        (
            old("policy", {"name": "p"}, {"ingress": [RULE], "doNotTrack": True}),
            "GlobalNetworkPolicy",
            "p",
            {
                "tier": "default",
                "ingress": [
                    {
                        "action": "Deny",
                        "protocol": "ICMPv6",
                        "source": {"selector": "(has(a)) && fe == ''"},
                        "destination": {},
                    }
                ],
                "doNotTrack": True,
                "applyOnForward": True,
            },
        ),
        (
            old("profile", {"name": "k8s_ns.x", "tags": ["t"], "labels": {"a": "b"}}, {}),
            "Profile",
            "kns.x",
            {"labelsToApply": {"a": "b", "t": ""}},
        ),
        (
            old("hostEndpoint", {"name": "eth0", "node": "n1"}, {"interfaceName": "eth0"}),
            "HostEndpoint",
            "n1.eth0",
            {"node": "n1", "interfaceName": "eth0"},
        ),
        (
            old("workloadEndpoint", ENDPOINT, {"ipNetworks": ["10.1.0.1/32"]}),
            "WorkloadEndpoint",
            None,
            {
                "orchestrator": "k8s",
                "node": "n1",
                "pod": "web",
                "endpoint": "eth0",
                "ipNetworks": ["10.1.0.1/32"],
            },
        ),
    ],
)
def test_a_document_of_v1_becomes_one_that_can_be_written(
    document: dict[str, Any], kind: str, name: str | None, spec: dict[str, Any]
) -> None:
    made = convert(document)
    assert (made["kind"], made["metadata"].get("name"), made["spec"]) == (kind, name, spec)
    check(of_mapping(made, "test"))


def test_a_pool_of_the_first_v3_loses_its_old_fields() -> None:
    spec = {"cidr": "10.0.0.0/16", "ipip": {"enabled": True, "mode": "cross-subnet"}}
    document = {"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "spec": spec}
    assert convert({**document, "spec": {**spec, "nat-outgoing": True}})["spec"] == {
        "cidr": "10.0.0.0/16",
        "ipipMode": "CrossSubnet",
        "natOutgoing": True,
    }


@pytest.mark.parametrize(
    "document",
    [
        old("tier", {"name": "a"}, {}),
        old("ipPool", {"cidr": "x"}, {}),
        old("bgpPeer", {"scope": "node", "peerIP": "10.0.0.1"}, {}),
        old("policy", {}, {}),
        old("profile", {"name": "a", "tags": ["t"], "labels": {"t": "1"}}, {}),
        old("workloadEndpoint", {**ENDPOINT, "workload": "web"}, {}),
        {"kind": "IPPool", "apiVersion": "v2"},
    ],
)
def test_what_has_no_form_in_v3_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ConvertError):
        convert(document)


def test_names_follow_calicos_rules() -> None:
    assert node_name("Worker_1/A..b-") == "worker-1.a.b"
    assert dotless_name("plain") == "plain"
    assert dotless_name("a.b").startswith("a-b-")
    assert profile_name("k8s_ns.kube-system") == "kns.kube-system"
    assert ip_name("fd00::1") == "fd00-0000-0000-0000-0000-0000-0000-0001"
