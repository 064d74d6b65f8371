from __future__ import annotations

from ipaddress import ip_address

import pytest

from cni.annotations import wishes_of
from cni.errors import BadAnnotation, code_of

P = "cni.projectcalico.org/"
Q = "qos.projectcalico.org/"


def test_a_pods_pools_beat_its_namespaces_family_by_family() -> None:
    pod = {P + "ipv4pools": '["pod-pool", "10.0.0.0/16"]', P + "ipv6pools": ""}
    namespace = {P + "ipv4pools": '["ns-pool"]', P + "ipv6pools": '["ns-six"]'}
    assert wishes_of(pod, namespace).pools == {4: ("pod-pool", "10.0.0.0/16"), 6: ("ns-six",)}
    assert wishes_of({}, namespace).pools == {4: ("ns-pool",), 6: ("ns-six",)}
    assert wishes_of({}, {}).pools == {}


def test_addresses_mac_families_and_sources_are_the_pods_alone() -> None:
    asked = {
        P + "ipAddrs": '["fd00::7", "10.244.0.9"]',
        P + "hwAddr": "0A:00:00:00:00:01",
        P + "ipFamilies": '["IPv6", "IPv4"]',
        P + "allowedSourcePrefixes": '["203.0.113.0/24"]',
    }
    wishes = wishes_of(asked, {})
    assert wishes.addresses == (ip_address("10.244.0.9"), ip_address("fd00::7"))
    assert wishes.mac == "0a:00:00:00:00:01"
    assert wishes.families == (4, 6)
    assert wishes.sources == ("203.0.113.0/24",)
    assert wishes_of({}, asked) == wishes_of({}, {})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ipAddrs", "10.244.0.9", "is no list"),
        ("ipAddrs", '["10.244.0.9/26"]', "is not an IP address"),
        ("ipAddrs", '["10.244.0.300"]', "is not an IP address"),
        ("ipAddrs", '["10.244.0.1", "10.244.0.2"]', "one per family"),
        ("ipAddrs", "[1]", "is no list"),
        ("ipAddrs", '["\ud800"]', "is no list"),
        ("ipv4pools", "default-pool", "is no list"),
        ("ipv6pools", '{"a": 1}', "is no list"),
        ("ipv4pools", str(["a"] * 65).replace("'", '"'), "at most 64"),
        ("hwAddr", "01:00:00:00:00:00", "is not a unicast Ethernet address"),
        ("ipFamilies", '["4"]', "neither IPv4 nor IPv6"),
        ("allowedSourcePrefixes", '["203.0.113.1/24"]', "is no prefix"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(name: str, value: str, told: str) -> None:
    with pytest.raises(BadAnnotation, match=told) as refused:
        wishes_of({P + name: value}, {})
    assert f"annotation {P}{name}" in str(refused.value)
    assert code_of(refused.value) == 7


def test_addresses_past_ipam_are_told_from_ipams() -> None:
    wishes = wishes_of({P + "ipAddrsNoIpam": '["203.0.113.9"]'}, {})
    assert (wishes.addresses, wishes.past_ipam) == ((ip_address("203.0.113.9"),), True)
    both = {P + "ipAddrsNoIpam": '["203.0.113.9"]', P + "ipAddrs": '["10.244.0.9"]'}
    with pytest.raises(BadAnnotation, match="one of the two"):
        wishes_of(both, {})


def test_floating_addresses_may_be_several_of_a_family() -> None:
    wishes = wishes_of({P + "floatingIPs": '["10.250.0.9", "10.250.0.8", "fd00::9"]'}, {})
    assert wishes.floating == tuple(map(ip_address, ("10.250.0.9", "10.250.0.8", "fd00::9")))
    with pytest.raises(BadAnnotation, match=r"floatingIPs: 'x' is not an IP address"):
        wishes_of({P + "floatingIPs": '["x"]'}, {})
    assert wishes_of({P + "floatingIPs": ""}, {}) == wishes_of({}, {})


def test_limits_are_calicos_controls_and_its_own_annotations_come_first() -> None:
    wishes = wishes_of(
        {
            "kubernetes.io/ingress-bandwidth": "10M",
            "kubernetes.io/egress-bandwidth": "1.5Mi",
            Q + "egressBandwidth": "2e6",
            Q + "egressMaxConnections": "100",
            Q + "dscp": "EF",
        },
        {},
    )
    assert wishes.slips == ()
    assert wishes.qos == {
        "ingressBandwidth": 10_000_000,
        "egressBandwidth": 2_000_000,
        "egressMaxConnections": 100,
        "dscp": "EF",
    }


@pytest.mark.parametrize(
    ("text", "number"),
    [("1000", 1000), ("1k", 1000), ("1Ki", 1024), ("2500.5", 2501), ("1000500m", 1001)],
)
def test_quantities_are_kubernetes_own(text: str, number: int) -> None:
    found = wishes_of({"kubernetes.io/ingress-bandwidth": text}, {})
    assert found.qos == {"ingressBandwidth": number}


@pytest.mark.parametrize(
    "annotations",
    [
        {"kubernetes.io/ingress-bandwidth": "fast"},
        {"kubernetes.io/ingress-bandwidth": "-1M"},
        {"kubernetes.io/ingress-bandwidth": "1"},
        {Q + "ingressBurst": "1M"},
        {Q + "dscp": "AF99"},
    ],
)
def test_a_slip_in_a_limit_costs_no_pod_its_network(annotations: dict[str, str]) -> None:
    wishes = wishes_of({**annotations, Q + "egressPacketRate": "10"}, {})
    assert wishes.qos == {}
    [slip] = wishes.slips
    assert "annotation" in slip
