"""The Node object that felix keeps in a real etcd."""

from __future__ import annotations

import json

import pytest

from felix_py.datastore.keys import RESOURCES
from tests.functional.agent.felix_node import FelixNode

pytestmark = [pytest.mark.root, pytest.mark.etcd]

PATH = "nodes/worker-1"


def address_of(node: FelixNode) -> str | None:
    found = node.resource(PATH)
    text = None if found is None else found["spec"].get("bgp", {}).get("ipv4Address")
    return text if isinstance(text, str) else None


def test_the_node_is_created_with_the_detected_address_and_how_it_was_found(
    node: FelixNode,
) -> None:
    node.start()
    node.until(lambda: address_of(node) == "192.168.50.11/24", 5)
    made = node.resource(PATH)
    assert made is not None
    assert made["spec"]["addresses"] == [{"address": "192.168.50.11/24", "type": "CalicoNodeIP"}]
    assert made["status"] == {}
    kept = json.loads(made["metadata"]["annotations"]["felix-py.io/address-detection"])
    assert kept["ipv4"]["found"] == "default route via eth0"
    assert node.status["nodeAddress"]["ipv4"]["address"] == "192.168.50.11/24"


def test_the_node_of_kubernetes_is_named_for_whoever_gives_back_what_it_held(
    node: FelixNode,
) -> None:
    node.extra = {"kubernetesNode": "worker-1"}
    node.start()
    node.until(lambda: address_of(node), 5)
    made = node.resource(PATH)
    assert made is not None
    assert made["spec"]["orchRefs"] == [{"nodeName": "worker-1", "orchestrator": "k8s"}]


def test_labels_as_number_and_unknown_fields_survive(node: FelixNode) -> None:
    node.put_resource(
        PATH,
        "Node",
        {"bgp": {"asNumber": 65001, "unknown": 1}, "other": {"a": [1]}},
        labels={"rack": "a"},
    )
    node.start()
    node.until(lambda: address_of(node) == "192.168.50.11/24", 5)
    made = node.resource(PATH)
    assert made is not None
    assert made["metadata"]["labels"] == {"rack": "a"}
    assert made["spec"]["bgp"]["asNumber"] == 65001
    assert made["spec"]["bgp"]["unknown"] == 1
    assert made["spec"]["other"] == {"a": [1]}


def test_ipv6_is_recorded_when_it_is_asked_for(node: FelixNode) -> None:
    node.extra = {"ipv6Address": "interface=eth0"}
    node.start()
    node.until(lambda: address_of(node), 5)
    made = node.resource(PATH)
    assert made is not None
    assert made["spec"]["bgp"]["ipv6Address"] == "fd50::11/64"


def test_another_nodes_address_is_not_taken_until_that_node_is_gone_and_status_says_so(
    node: FelixNode,
) -> None:
    node.put_resource("nodes/worker-2", "Node", {"bgp": {"ipv4Address": "192.168.50.11/24"}})
    node.start()
    node.until(lambda: any("worker-2" in text for text in node.status["warnings"]), 5)
    assert address_of(node) is None
    node.ctl("del", f"{RESOURCES}nodes/worker-2")
    node.until(lambda: address_of(node) == "192.168.50.11/24", 5)
    node.until(lambda: not any("worker-2" in text for text in node.status["warnings"]), 5)


def test_the_node_follows_an_address_that_changes(node: FelixNode) -> None:
    node.start()
    node.until(lambda: address_of(node), 5)
    node.ip("address", "add", "192.168.60.11/24", "dev", "eth0")
    node.ip("address", "del", "192.168.50.11/24", "dev", "eth0")
    node.ip("route", "replace", "default", "via", "192.168.60.1")
    node.until(lambda: address_of(node) == "192.168.60.11/24", 5)


def test_a_host_prefix_is_told_by_name(node: FelixNode) -> None:
    node.ip("address", "flush", "dev", "eth0")
    node.ip("address", "add", "192.168.50.11/32", "dev", "eth0")
    node.ip("route", "add", "default", "dev", "eth0")
    node.start()
    node.until(lambda: address_of(node) == "192.168.50.11/32", 5)
    node.until(lambda: any("192.168.50.11/32" in text for text in node.status["warnings"]), 5)


def test_settings_that_cannot_be_understood_end_the_process_with_a_sentence(
    node: FelixNode,
) -> None:
    node.extra = {"ipv4Address": "automatic"}
    node.start(wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    node.process = None
    assert "felix.ipv4Address: 'automatic' is not one of" in node.log()
