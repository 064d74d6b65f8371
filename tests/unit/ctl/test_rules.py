"""What Calico's client does before it writes: defaults, names, a pool's range."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from felix_py.ctl import rules
from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError
from felix_py.ctl.kinds import find
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPPool, Metadata


def document(word: str, name: str, spec: dict[str, Any], namespace: str = "") -> Document:
    info = find(word)
    return Document(info, ResourceKey(info.kind, name, namespace), "test", spec)


def pool(name: str, cidr: str, block_size: int = 26) -> IPPool:
    return IPPool(Metadata(name), ip_network(cidr), block_size)


def test_a_pool_gets_calicos_defaults_and_keeps_what_is_said() -> None:
    made = rules.complete(document("pool", "a", {"cidr": "10.0.0.0/16", "natOutgoing": True}))
    assert made.spec == {
        "cidr": "10.0.0.0/16",
        "natOutgoing": True,
        "ipipMode": "Never",
        "vxlanMode": "Never",
        "blockSize": 26,
        "nodeSelector": "all()",
        "allowedUses": ["Workload", "Tunnel"],
        "assignmentMode": "Automatic",
    }
    assert rules.complete(document("pool", "a", {"cidr": "fd00::/64"})).spec["blockSize"] == 122


def test_empty_fields_of_a_pool_take_the_default_and_false_ones_are_left_out() -> None:
    spec = {"cidr": "10.0.0.0/16", "blockSize": 0, "nodeSelector": "", "disabled": False}
    made = rules.complete(document("pool", "a", spec)).spec
    assert (made["blockSize"], made["nodeSelector"], "disabled" in made) == (26, "all()", False)


def test_a_bgp_configuration_gets_its_defaults_and_only_the_two_names() -> None:
    made = rules.complete(document("bgpconfig", "default", {"nodeToNodeMeshEnabled": False}))
    assert made.spec == {
        "logSeverityScreen": "Info",
        "serviceLoadBalancerAggregation": "Enabled",
        "nodeToNodeMeshEnabled": False,
    }
    rules.complete(document("bgpconfig", "node.worker-1", {}))
    with pytest.raises(CommandError, match=r"default or node\."):
        rules.complete(document("bgpconfig", "other", {}))


ENDPOINT = {"orchestrator": "k8s", "node": "worker-1", "pod": "nginx-1", "endpoint": "eth0"}


def test_an_endpoints_name_follows_from_its_spec() -> None:
    made = rules.complete(document("wep", "", ENDPOINT, "default"))
    assert made.key.name == "worker--1-k8s-nginx--1-eth0"
    assert made.labels == {
        "projectcalico.org/namespace": "default",
        "projectcalico.org/orchestrator": "k8s",
    }
    cni = {"orchestrator": "cni", "node": "n", "containerID": "ab12", "endpoint": "eth0"}
    assert rules.endpoint_name(cni) == "n-cni-ab12-eth0"
    other = {"orchestrator": "x", "node": "n", "workload": "w", "endpoint": "e"}
    assert rules.endpoint_name(other) == "n-x-w-e"


def test_an_endpoint_with_another_name_or_a_missing_part_is_refused() -> None:
    with pytest.raises(CommandError, match=r"must be worker--1-k8s-nginx--1-eth0"):
        rules.complete(document("wep", "other", ENDPOINT, "default"))
    with pytest.raises(CommandError, match=r"spec\.pod is ''"):
        rules.complete(document("wep", "", {**ENDPOINT, "pod": None}, "default"))


def test_a_pools_range_is_for_ever() -> None:
    old = pool("a", "10.0.0.0/16")
    rules.check_unchanged(old, replace(old, disabled=True), "IPPool(a)")
    with pytest.raises(CommandError, match=r"IPPool\(a\): spec.cidr is 10.0.0.0/16"):
        rules.check_unchanged(old, pool("a", "10.0.0.0/17"), "IPPool(a)")
    with pytest.raises(CommandError, match=r"spec.blockSize is 26"):
        rules.check_unchanged(old, pool("a", "10.0.0.0/16", 27), "IPPool(a)")


def test_a_pool_may_not_overlap_another_one_or_blocks_of_another_size() -> None:
    new = pool("b", "10.0.0.0/24")
    rules.check_room(new, [pool("a", "10.1.0.0/16"), pool("six", "fd00::/64", 122)], [])
    with pytest.raises(CommandError, match=r"overlaps 10.0.0.0/8 of IPPool\(a\)"):
        rules.check_room(new, [pool("a", "10.0.0.0/8")], [])
    rules.check_room(new, [], [ip_network("10.0.0.64/26")])
    with pytest.raises(CommandError, match=r"the block 10.0.0.64/27"):
        rules.check_room(new, [], [ip_network("10.0.0.64/27")])
