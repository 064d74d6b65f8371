"""What felix writes into the Node object and what it keeps."""

from __future__ import annotations

import json
from ipaddress import ip_interface

from felix_py.agent.calc.node_address import Detection
from felix_py.agent.calc.node_object import (
    ANNOTATION,
    AddressWish,
    holder_of,
    orch_refs,
    plan,
    recorded_in,
)
from tests.unit.agent.builders import ME, OTHER, node, stored


def wish(text: str | None, method: str = "auto") -> dict[int, AddressWish]:
    return {
        4: AddressWish(
            method, Detection(ip_interface(text) if text else None, "default route via eth0")
        )
    }


def ours(text: str, method: str = "auto") -> dict[str, str]:
    entry = {"address": text, "method": method, "found": "x", "steady": True}
    return {ANNOTATION: json.dumps({"ipv4": entry})}


def test_a_new_node_gets_address_calico_entry_and_how_it_was_found() -> None:
    made = plan({}, {}, wish("192.168.50.11/24"), {})
    assert made.bgp == {"ipv4Address": "192.168.50.11/24"}
    assert made.addresses == ({"address": "192.168.50.11/24", "type": "CalicoNodeIP"},)
    assert recorded_in({ANNOTATION: made.annotation}, 4) is not None
    assert json.loads(made.annotation)["ipv4"]["found"] == "default route via eth0"


def test_as_number_tunnel_address_and_other_addresses_are_kept() -> None:
    spec = {
        "bgp": {"asNumber": 65001, "ipv4IPIPTunnelAddr": "10.244.1.0", "ipv4Address": "1.2.3.4/24"},
        "addresses": [
            {"address": "1.2.3.4/24", "type": "CalicoNodeIP"},
            {"address": "1.2.3.4", "type": "InternalIP"},
        ],
    }
    made = plan(spec, ours("1.2.3.4/24"), wish("1.2.3.5/24"), {})
    assert made.bgp == {
        "asNumber": 65001,
        "ipv4IPIPTunnelAddr": "10.244.1.0",
        "ipv4Address": "1.2.3.5/24",
    }
    assert made.addresses == (
        {"address": "1.2.3.5/24", "type": "CalicoNodeIP"},
        {"address": "1.2.3.4", "type": "InternalIP"},
    )


def test_an_address_set_by_hand_is_kept_and_the_difference_told() -> None:
    spec = {"bgp": {"ipv4Address": "1.2.3.4/24"}}
    made = plan(spec, {}, wish("1.2.3.5/24"), {})
    assert made.bgp == {"ipv4Address": "1.2.3.4/24"}
    assert "felix.ipv4Address" in made.warnings[0]


def test_a_configured_address_wins_over_one_set_by_hand() -> None:
    spec = {"bgp": {"ipv4Address": "1.2.3.4/24"}}
    made = plan(spec, {}, wish("1.2.3.5/24", "1.2.3.5/24"), {})
    assert made.bgp == {"ipv4Address": "1.2.3.5/24"}


def test_an_address_that_is_gone_for_a_moment_stays_recorded() -> None:
    spec = {"bgp": {"ipv4Address": "1.2.3.4/24"}}
    assert plan(spec, ours("1.2.3.4/24"), wish(None), {}).bgp == spec["bgp"]


def test_none_takes_back_what_felix_found_but_not_what_was_set_by_hand() -> None:
    spec = {"bgp": {"ipv4Address": "1.2.3.4/24"}}
    assert plan(spec, ours("1.2.3.4/24"), wish(None, "none"), {}).bgp == {}
    assert plan(spec, {}, wish(None, "none"), {}).bgp == spec["bgp"]


def test_another_nodes_address_is_not_taken() -> None:
    made = plan({}, {}, wish("1.2.3.4/24"), {4: OTHER})
    assert made.bgp == {}
    assert OTHER in made.warnings[0]


def test_a_shared_address_is_found_whatever_its_prefix() -> None:
    nodes = {OTHER: stored(node(OTHER, "1.2.3.4/16")), ME: stored(node(ME, "1.2.3.4/24"))}
    assert holder_of(ip_interface("1.2.3.4/24"), ME, nodes) == OTHER
    assert holder_of(ip_interface("1.2.3.5/24"), ME, nodes) is None


def test_an_annotation_that_somebody_broke_counts_as_absent() -> None:
    for text in ("", "[]", '{"ipv4":1}', '{"ipv4":{"address":"x","method":"auto"}}'):
        assert recorded_in({ANNOTATION: text}, 4) is None


def test_the_node_of_kubernetes_is_named_as_calicos_node_names_it() -> None:
    mine = {"nodeName": "worker-1", "orchestrator": "k8s"}
    other = {"nodeName": "i-77", "orchestrator": "openstack"}
    assert orch_refs({}, "worker-1") == [mine]
    assert orch_refs(
        {"orchRefs": [{"nodeName": "old", "orchestrator": "k8s"}, other]}, "worker-1"
    ) == [
        other,
        mine,
    ]


def test_who_was_told_of_no_kubernetes_leaves_what_stands() -> None:
    other = {"nodeName": "worker-1", "orchestrator": "k8s"}
    assert orch_refs({"orchRefs": [other]}, "") == [other]
    assert orch_refs({}, "") is None
