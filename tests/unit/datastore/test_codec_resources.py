"""Pools, nodes, endpoints, reservations and cluster information: what is read, what is refused."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_network
from typing import Any

import pytest

from felix_py.datastore import codec
from felix_py.datastore.model import (
    AssignmentMode,
    ClusterInformation,
    EncapMode,
    Invalid,
    IPPool,
    IPReservation,
    Node,
    PoolUse,
    WorkloadEndpoint,
)
from tests.unit.datastore.codec_keys import (
    CLUSTER,
    ENDPOINT,
    NODE,
    POOL,
    RESERVATION,
    decoded,
    reason,
)


class TestPool:
    def test_only_cidr_and_block_size_are_needed(self) -> None:
        pool = decoded(POOL, {"cidr": "10.0.0.0/16", "blockSize": 26})
        assert isinstance(pool, IPPool)
        assert pool.ipip_mode is EncapMode.NEVER
        assert pool.node_selector == "all()"
        assert pool.allowed_uses == {PoolUse.WORKLOAD, PoolUse.TUNNEL}
        assert pool.assignment_mode is AssignmentMode.AUTOMATIC

    def test_the_block_size_has_a_default_per_version(self) -> None:
        assert decoded(POOL, {"cidr": "10.0.0.0/16"}).block_size == 26
        assert decoded(POOL, {"cidr": "fd00::/64", "vxlanMode": "Always"}).block_size == 122

    def test_the_condition_allocatable_false_is_seen(self) -> None:
        condition = {"type": "Allocatable", "status": "False"}
        document = {"spec": {"cidr": "10.0.0.0/16"}, "status": {"conditions": [condition]}}
        pool = codec.decode(POOL, json.dumps(document).encode())
        assert isinstance(pool, IPPool)
        assert not pool.allocatable

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({}, "spec.cidr"),
            ({"cidr": "10.0.0.1/16"}, "spec.cidr"),
            ({"cidr": "10.0.0.0/255.255.0.0"}, "spec.cidr"),
            ({"cidr": "169.254.1.0/24"}, "spec.cidr"),
            ({"cidr": "fe80::/64"}, "spec.cidr"),
            ({"cidr": "10.0.0.0/16", "blockSize": 19}, "spec.blockSize"),
            ({"cidr": "10.0.0.0/16", "blockSize": 33}, "spec.blockSize"),
            ({"cidr": "10.0.0.0/27", "blockSize": 26}, "spec.blockSize"),
            ({"cidr": "fd00::/64", "blockSize": 64}, "spec.blockSize"),
            ({"cidr": "fd00::/64", "ipipMode": "Always"}, "spec.ipipMode"),
            ({"cidr": "10.0.0.0/16", "ipipMode": "always"}, "spec.ipipMode"),
            (
                {"cidr": "10.0.0.0/16", "ipipMode": "Always", "vxlanMode": "Always"},
                "spec.vxlanMode",
            ),
            ({"cidr": "10.0.0.0/16", "nodeSelector": "rack =="}, "spec.nodeSelector"),
            ({"cidr": "10.0.0.0/16", "namespaceSelector": "x("}, "spec.namespaceSelector"),
            (
                {"cidr": "10.0.0.0/16", "allowedUses": ["LoadBalancer", "Tunnel"]},
                "spec.allowedUses",
            ),
            ({"cidr": "10.0.0.0/16", "allowedUses": ["Anything"]}, "spec.allowedUses"),
            ({"cidr": "10.0.0.0/16", "assignmentMode": "manual"}, "spec.assignmentMode"),
            (
                {"cidr": "10.0.0.0/16", "namespaceSelector": "a == 'b'", "allowedUses": ["Tunnel"]},
                "spec.namespaceSelector",
            ),
        ],
    )
    def test_a_broken_pool_names_its_field(self, spec: dict[str, Any], field: str) -> None:
        assert reason(POOL, spec).startswith(f"{field}: ")


class TestNode:
    def test_a_node_needs_no_spec(self) -> None:
        for raw in (b"{}", b'{"metadata":{"name":"worker-1"},"spec":{}}', b'{"spec":null}'):
            node = codec.decode(NODE, raw)
            assert isinstance(node, Node)
            assert node.name == "worker-1"

    def test_all_its_addresses_are_typed(self) -> None:
        bgp = {
            "asNumber": "1.10",
            "ipv4Address": "192.168.50.11/24",
            "ipv4IPIPTunnelAddr": "10.244.1.0",
            "routeReflectorClusterID": "244.0.0.1",
        }
        node = decoded(NODE, {"bgp": bgp, "ipv6VXLANTunnelAddr": "fd00::1"})
        assert node.as_number == 65546
        assert node.ipv4_address == IPv4Interface("192.168.50.11/24")
        assert node.ipv4_ipip_tunnel_address == IPv4Address("10.244.1.0")
        assert node.ipv6_vxlan_tunnel_address == ip_address("fd00::1")

    @pytest.mark.parametrize(
        ("bgp", "field"),
        [
            ({"asNumber": 2**32}, "spec.bgp.asNumber"),
            ({"asNumber": "x"}, "spec.bgp.asNumber"),
            ({"asNumber": "1.65536"}, "spec.bgp.asNumber"),
            ({"asNumber": True}, "spec.bgp.asNumber"),
            ({"ipv4Address": "fd00::1/64"}, "spec.bgp.ipv4Address"),
            ({"ipv6Address": "10.0.0.1"}, "spec.bgp.ipv6Address"),
            ({"ipv4IPIPTunnelAddr": "10.0.0.1/32"}, "spec.bgp.ipv4IPIPTunnelAddr"),
            ({"routeReflectorClusterID": "one"}, "spec.bgp.routeReflectorClusterID"),
        ],
    )
    def test_a_broken_node_names_its_field(self, bgp: dict[str, Any], field: str) -> None:
        assert reason(NODE, {"bgp": bgp}).startswith(f"{field}: ")

    def test_a_name_that_is_not_the_keys_is_invalid(self) -> None:
        answer = codec.decode(NODE, b'{"metadata":{"name":"worker-2"}}')
        assert isinstance(answer, Invalid)
        assert answer.reason.startswith("metadata.name: ")


class TestEndpoint:
    SPEC: dict[str, Any] = {  # noqa: RUF012
        "orchestrator": "k8s",
        "node": "w",
        "containerID": "0123456789abcdef",
        "pod": "p",
        "endpoint": "eth0",
        "ipNetworks": ["10.0.0.1/32", "fd00::1"],
        "interfaceName": "cali0123456789a",
        "mac": "0e:65:ab:cd:ef:01",
    }

    def test_networks_are_hosts(self) -> None:
        endpoint = decoded(ENDPOINT, self.SPEC)
        assert isinstance(endpoint, WorkloadEndpoint)
        assert endpoint.networks == (ip_network("10.0.0.1/32"), ip_network("fd00::1/128"))

    @pytest.mark.parametrize("container", ["0", "k8s.io-web", "a_b", "a.", "a--b"])
    def test_every_container_id_that_cni_passes_on_can_be_read(self, container: str) -> None:
        endpoint = decoded(ENDPOINT, self.SPEC | {"containerID": container})
        assert isinstance(endpoint, WorkloadEndpoint)
        assert endpoint.container_id == container

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"ipNetworks": ["10.0.0.0/24"]}, "spec.ipNetworks[0]"),
            ({"containerID": "../x"}, "spec.containerID"),
            ({"interfaceName": "sixteen-letters-x"}, "spec.interfaceName"),
            ({"interfaceName": "a/b"}, "spec.interfaceName"),
            ({"interfaceName": ".."}, "spec.interfaceName"),
            ({"mac": "x"}, "spec.mac"),
            ({"node": ""}, "spec.node"),
            ({"endpoint": None}, "spec.endpoint"),
            ({"orchestrator": None}, "spec.orchestrator"),
        ],
    )
    def test_a_broken_endpoint_names_its_field(self, changes: dict[str, Any], field: str) -> None:
        assert reason(ENDPOINT, self.SPEC | changes).startswith(f"{field}: ")


def test_reservations_take_addresses_and_networks_of_both_versions() -> None:
    value = decoded(RESERVATION, {"reservedCIDRs": ["10.0.0.9", "10.0.0.1/30", "fd00::/64"]})
    assert isinstance(value, IPReservation)
    texts = [str(each) for each in value.reserved]
    assert texts == ["10.0.0.9/32", "10.0.0.0/30", "fd00::/64"]
    assert reason(RESERVATION, {"reservedCIDRs": ["x"]}).startswith("spec.reservedCIDRs[0]")


def test_an_absent_datastore_ready_is_false() -> None:
    value = decoded(CLUSTER, {"clusterGUID": "g"})
    assert isinstance(value, ClusterInformation)
    assert not value.datastore_ready
    assert reason(CLUSTER, {}).startswith("spec.clusterGUID")
