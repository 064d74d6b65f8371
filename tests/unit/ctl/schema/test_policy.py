"""Calico's rules for policies: every one has something that it refuses, and something like it that passes."""

from __future__ import annotations

from typing import Any

import pytest

from felix_py.ctl.schema import bgp, controllers, endpoints, felix, policy, pools
from felix_py.ctl.schema.shape import Fields
from felix_py.datastore.codec_fields import BadField

ALLOW: dict[str, Any] = {"action": "Allow"}


def ingress(**rule: Any) -> dict[str, Any]:
    return {"ingress": [ALLOW | rule]}


def egress(**rule: Any) -> dict[str, Any]:
    return {"egress": [ALLOW | rule]}


def peer(**entity: Any) -> dict[str, Any]:
    return ingress(source=entity)


SERVICE = {"services": {"name": "web", "namespace": "x"}}
LOCAL, GLOBAL = policy.NETWORK_POLICY, policy.GLOBAL_NETWORK_POLICY
PAIRS: list[tuple[Fields, dict[str, Any], dict[str, Any]]] = [
    (LOCAL, ingress(protocol="TCP", source={"ports": [80]}), peer(ports=[80])),
    (LOCAL, peer(ports=["http"]), ingress(protocol="ICMP", source={"ports": ["http"]})),
    (LOCAL, ingress(protocol="ICMP", icmp={"type": 8}), ingress(protocol="TCP", icmp={"type": 8})),
    (
        LOCAL,
        ingress(protocol="ICMP", icmp={"type": 8, "code": 0}),
        ingress(protocol="ICMP", icmp={"code": 0}),
    ),
    (LOCAL, ingress(protocol="ICMP", ipVersion=4), ingress(protocol="ICMP", ipVersion=6)),
    (LOCAL, ingress(notProtocol=58, ipVersion=6), ingress(notProtocol=58, ipVersion=4)),
    (LOCAL, ingress(ipVersion=6), ingress(ipVersion=5)),
    (LOCAL, peer(nets=["10.0.0.0/8"]), peer(nets=["10.0.0.0/8", "fd00::/8"])),
    (LOCAL, peer(nets=["10.0.0.0/8"]), peer(nets=["10.0.0.1/8"])),
    (LOCAL, peer(nets=["10.0.0.1/32"]), peer(nets=["10.0.0.1"])),
    (LOCAL, peer(nets=["0.0.0.0/0"]), peer(notNets=["0.0.0.0/0"])),
    (
        LOCAL,
        ingress(ipVersion=6, source={"nets": ["fd00::/8"]}),
        ingress(ipVersion=4, source={"nets": ["fd00::/8"]}),
    ),
    (LOCAL, ingress(http={"methods": ["GET"]}), egress(http={"methods": ["GET"]})),
    (
        LOCAL,
        ingress(http={"paths": [{"exact": "/a"}]}),
        ingress(http={"paths": [{"exact": "/a", "prefix": "/b"}]}),
    ),
    (
        LOCAL,
        ingress(http={"methods": ["GET"]}),
        ingress(http={"methods": ["GET"]}, action="Deny"),
    ),
    (
        LOCAL,
        ingress(http={"methods": ["GET"]}, protocol="TCP"),
        ingress(http={"methods": ["GET"]}, protocol="UDP"),
    ),
    (LOCAL, peer(**SERVICE), ingress(destination=SERVICE)),
    (LOCAL, egress(destination=SERVICE), egress(source=SERVICE)),
    (LOCAL, peer(**SERVICE), peer(**SERVICE, selector="all()")),
    (
        LOCAL,
        egress(destination=SERVICE),
        egress(protocol="TCP", destination={**SERVICE, "ports": [1]}),
    ),
    (LOCAL, peer(**SERVICE), peer(services={"namespace": "x"})),
    (LOCAL, peer(services={"name": "web"}), peer(services={})),
    (GLOBAL, peer(**SERVICE), peer(services={"name": "web"})),
    (LOCAL, peer(namespaceSelector="global()"), peer(selector="global()")),
    (LOCAL, peer(namespaceSelector="all()"), peer(namespaceSelector="global() || has(a)")),
    (LOCAL, {"selector": "has(a)"}, {"selector": "has("}),
    (LOCAL, {"types": ["Ingress", "Egress"]}, {"types": ["Ingress", "Ingress"]}),
    (LOCAL, {"tier": "sec"}, {"tier": "sec.urity"}),
    (LOCAL, {"order": 1.5}, {"order": "first"}),
    (LOCAL, ingress(), {"ingress": [{}]}),
    (GLOBAL, {"doNotTrack": True, "applyOnForward": True}, {"doNotTrack": True}),
    (GLOBAL, {"preDNAT": True, "applyOnForward": True}, {"preDNAT": True}),
    (
        GLOBAL,
        {"preDNAT": True, "applyOnForward": True, **ingress()},
        {"preDNAT": True, "applyOnForward": True, **egress()},
    ),
    (
        GLOBAL,
        {"doNotTrack": True, "applyOnForward": True, "preDNAT": False},
        {"doNotTrack": True, "applyOnForward": True, "preDNAT": True},
    ),
    (
        policy.STAGED_NETWORK_POLICY,
        {"stagedAction": "Delete", "tier": "sec"},
        {"stagedAction": "Delete", "order": 1},
    ),
    (
        policy.STAGED_KUBERNETES_NETWORK_POLICY,
        {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress"]},
        {"policyTypes": ["Sideways"]},
    ),
    (
        endpoints.HOST_ENDPOINT,
        {"node": "a", "interfaceName": "*"},
        {"node": "a"},
    ),
    (
        endpoints.HOST_ENDPOINT,
        {"node": "a", "expectedIPs": ["10.0.0.1"]},
        {"node": "a", "expectedIPs": ["10.0.0.1/8"]},
    ),
    (endpoints.NETWORK_SET, {"nets": ["10.0.0.1", "10.0.0.1/8"]}, {"nets": ["web.example"]}),
    (endpoints.PROFILE, {"labelsToApply": {"a/b": "c"}}, {"labelsToApply": {"a b": "c"}}),
    (
        bgp.FILTER,
        {"exportV4": [{"cidr": "10.0.0.0/8", "matchOperator": "In", "action": "Accept"}]},
        {"exportV4": [{"cidr": "10.0.0.0/8", "action": "Accept"}]},
    ),
    (
        bgp.FILTER,
        {"exportV6": [{"cidr": "fd00::/8", "matchOperator": "In", "action": "Accept"}]},
        {"exportV6": [{"cidr": "10.0.0.0/8", "matchOperator": "In", "action": "Accept"}]},
    ),
    (bgp.FILTER, {"importV4": [{"action": "Reject"}]}, {"importV4": [{"source": "RemotePeers"}]}),
    (
        bgp.FILTER,
        {"importV4": [{"action": "Accept", "operations": [{"setPriority": {"value": 5}}]}]},
        {"importV4": [{"action": "Reject", "operations": [{"setPriority": {"value": 5}}]}]},
    ),
    (
        bgp.FILTER,
        {"importV4": [{"action": "Accept", "communities": {"values": ["1:2"]}}]},
        {"importV4": [{"action": "Accept", "communities": {"values": ["1:2", "1:3"]}}]},
    ),
    (
        bgp.CONFIGURATION,
        {
            "communities": [{"name": "a", "value": "1:2"}],
            "prefixAdvertisements": [{"cidr": "10.0.0.0/8"}],
        },
        {"communities": [{"name": "a", "value": "1:2"}]},
    ),
    (
        bgp.CONFIGURATION,
        {"nodeMeshMaxRestartTime": "90s"},
        {"nodeMeshMaxRestartTime": "90s", "nodeToNodeMeshEnabled": False},
    ),
    (
        controllers.CONTROLLERS,
        {"controllers": {"node": {"leakGracePeriod": "15m"}}},
        {"controllers": {"node": {"hostEndpoint": {"templates": [{}]}}}},
    ),
    (pools.NODE, {"bgp": {"asNumber": "1.10"}}, {"bgp": {}}),
    (
        felix.FELIX,
        {"bpfConntrackTimeouts": {"tcpEstablished": "Auto"}},
        {"bpfConntrackTimeouts": {"tcpEstablished": 5}},
    ),
    (felix.FELIX, {"iptablesBackend": "nft"}, {"iptablesBackend": "ebpf"}),
    (felix.FELIX, {"failsafeInboundHostPorts": []}, {"failsafeInboundHostPorts": [{"net": "x"}]}),
]


@pytest.mark.parametrize(("shape", "good", "bad"), PAIRS, ids=range(len(PAIRS)))
def test_a_rule_refuses_one_and_takes_its_neighbour(
    shape: Fields, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    shape.read("spec", good)
    assert not list(shape.strangers("spec", good))
    with pytest.raises(BadField, match=r"^spec\."):
        shape.read("spec", bad)


def test_rules_always_have_both_sides() -> None:
    assert LOCAL.read("spec", ingress()) == {
        "ingress": [{"action": "Allow", "source": {}, "destination": {}}]
    }
