"""Calico's values to ours and back; nothing that etcd may hold makes the codec raise."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore import codec, keys
from felix_py.datastore.keys import (
    AffinityKey,
    BlockKey,
    HandleKey,
    IPAMConfigKey,
    Key,
    ResourceKey,
    SessionKey,
    StatusKey,
)
from felix_py.datastore.model import (
    AffinityState,
    AssignmentMode,
    Attribute,
    BGPConfiguration,
    BGPPeer,
    Block,
    BlockAffinity,
    ClusterInformation,
    DaemonStatus,
    EncapMode,
    Handle,
    HandleId,
    Invalid,
    IPAMConfig,
    IPPool,
    IPReservation,
    Kind,
    Node,
    NodeName,
    PoolUse,
    Session,
    WorkloadEndpoint,
)
from tests.unit.datastore.calico_writes import recorded_writes

WRITES = recorded_writes()
BLOCK = BlockKey(IPv4Network("10.244.1.0/30"))
POOL = ResourceKey(Kind.IP_POOL, "p")
NODE = ResourceKey(Kind.NODE, "worker-1")
PEER = ResourceKey(Kind.BGP_PEER, "tor")
CONFIGURATION = ResourceKey(Kind.BGP_CONFIGURATION, "default")
ENDPOINT = ResourceKey(Kind.WORKLOAD_ENDPOINT, "w-k8s-p-eth0", "default")
RESERVATION = ResourceKey(Kind.IP_RESERVATION, "r")
CLUSTER = ResourceKey(Kind.CLUSTER_INFORMATION, "default")
AFFINITY = AffinityKey(NodeName("worker-1"), IPv4Network("10.244.1.0/30"))
HANDLE = HandleKey(HandleId("k8s-pod-network.0"))
ALL_KEYS: tuple[Key, ...] = (
    *(BLOCK, POOL, NODE, PEER, CONFIGURATION, ENDPOINT, RESERVATION, CLUSTER, AFFINITY, HANDLE),
    *(IPAMConfigKey(), SessionKey(NodeName("n")), StatusKey(NodeName("n"), "felix")),
)


def decoded(key: Key, spec: dict[str, Any]) -> Any:
    return codec.decode(key, json.dumps({"spec": spec}).encode())


def reason(key: Key, spec: dict[str, Any]) -> str:
    answer = decoded(key, spec)
    assert isinstance(answer, Invalid), answer
    return answer.reason


def block_text(**changes: Any) -> bytes:
    document = {
        "cidr": "10.244.1.0/30",
        "affinity": "host:worker-1",
        "allocations": [0, None, None, None],
        "unallocated": [1, 2, 3],
        "attributes": [{"handle_id": "h"}],
        "sequenceNumber": 7,
        "sequenceNumberForAllocation": {"0": 6},
        "deleted": False,
    }
    return json.dumps(document | changes).encode()


def test_the_recording_holds_what_we_think() -> None:
    kinds = {type(keys.parse(key)) for _, key, _ in WRITES}
    assert {BlockKey, AffinityKey, HandleKey, IPAMConfigKey, ResourceKey} <= kinds
    assert len(WRITES) > 70


@pytest.mark.parametrize(("revision", "path", "raw"), WRITES, ids=[each[0] for each in WRITES])
def test_every_recorded_value_is_read_and_ipam_values_are_written_alike(
    revision: str, path: str, raw: bytes
) -> None:
    key = keys.parse(path)
    if key is None:
        return
    value = codec.decode(key, raw)
    assert not isinstance(value, Invalid), value
    if isinstance(value, Block | BlockAffinity | Handle | IPAMConfig):
        as_we_write_it = raw.replace(b'"attributes":null', b'"attributes":[]')
        assert codec.encode(value) == as_we_write_it
    else:
        assert json.loads(codec.rewrite(raw)) == json.loads(raw)
        assert codec.rewrite(raw) == raw


@given(raw=st.binary(max_size=200), key=st.sampled_from(ALL_KEYS))
def test_no_bytes_make_it_raise(raw: bytes, key: Key) -> None:
    codec.decode(key, raw)


TEXT = st.text(alphabet="abc019./:-{}\x00\u2028é<&", max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        *("cidr", "blockSize", "ipipMode", "nodeSelector", "allowedUses", "bgp", "asNumber"),
        *("peerIP", "peerSelector", "ipNetworks", "node", "containerID", "reservedCIDRs", "state"),
        *("block", "allocations", "unallocated", "attributes", "sequenceNumberForAllocation"),
        *("metadata", "status", "clusterGUID", "prefixAdvertisements", "machineId", "nonce"),
    ]
)


@given(spec=st.dictionaries(FIELDS, JSON, max_size=5), key=st.sampled_from(ALL_KEYS))
def test_no_document_makes_it_raise(spec: dict[str, Any], key: Key) -> None:
    codec.decode(key, json.dumps(spec).encode("utf-8", "replace"))
    codec.decode(key, json.dumps({"spec": spec, "metadata": spec}).encode("utf-8", "replace"))


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"", b"null", b"[]"]
)
def test_hostile_text_is_invalid_whatever_the_key(raw: bytes) -> None:
    for key in ALL_KEYS:
        answer = codec.decode(key, raw)
        if isinstance(key, AffinityKey) and not raw:
            assert answer == BlockAffinity(AffinityState.CONFIRMED)
        else:
            assert isinstance(answer, Invalid)


def test_an_overlong_value_is_invalid() -> None:
    raw = b'{"a":"' + b"x" * codec.MAX_VALUE_BYTES + b'"}'
    assert isinstance(codec.decode(NODE, raw), Invalid)


def test_a_type_error_names_its_field() -> None:
    answer = reason(POOL, {"cidr": "10.0.0.0/16", "blockSize": "26"})
    assert answer.startswith("spec.blockSize: expected `int | null`, got `str`")


class TestBlock:
    def test_minimal_values_are_read(self) -> None:
        raw = block_text(attributes=None, allocations=[None] * 4, unallocated=[0, 1, 2, 3])
        document = json.loads(raw)
        del document["sequenceNumberForAllocation"], document["deleted"]
        document["sequenceNumber"] = 0
        block = codec.decode(BLOCK, json.dumps(document).encode())
        assert isinstance(block, Block)
        assert (block.attributes, block.sequence_number, block.affinity_claim_time) == ((), 0, None)

    def test_unknown_fields_survive(self) -> None:
        raw = block_text(
            attributes=[{"handle_id": "h", "alternateOwnerAttrs": {"a": "b"}}], hostAffinity="x"
        )
        block = codec.decode(BLOCK, raw)
        assert isinstance(block, Block)
        written = json.loads(codec.encode(block))
        assert written["hostAffinity"] == "x"
        assert written["attributes"] == [{"handle_id": "h", "alternateOwnerAttrs": {"a": "b"}}]

    def test_html_and_large_numbers_are_written_as_calico_does(self) -> None:
        block = Block(
            cidr=IPv4Network("10.0.0.0/32"),
            affinity=None,
            affinity_claim_time=None,
            allocations=(0,),
            unallocated=(),
            attributes=(Attribute(HandleId("a&b"), {"z": "<\u2028>", "a": "1"}),),
            sequence_number=2**64 - 1,
            sequence_for_allocation={0: 2**63},
        )
        assert codec.encode(block) == (
            b'{"cidr":"10.0.0.0/32","affinity":null,"allocations":[0],"unallocated":[],"attributes":'
            b'[{"handle_id":"a\\u0026b","secondary":{"a":"1","z":"\\u003c\\u2028\\u003e"}}],'
            b'"sequenceNumber":18446744073709551615,'
            b'"sequenceNumberForAllocation":{"0":9223372036854775808},"deleted":false}'
        )
        assert codec.decode(BlockKey(block.cidr), codec.encode(block)) == block

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"cidr": "10.244.2.0/30"}, "cidr"),
            ({"allocations": [0]}, "allocations"),
            ({"allocations": [1, None, None, None]}, "allocations"),
            ({"allocations": [-1, None, None, None]}, "allocations"),
            ({"unallocated": [1, 2]}, "unallocated"),
            ({"unallocated": [1, 2, 2]}, "unallocated"),
            ({"unallocated": [0, 1, 2, 3]}, "unallocated"),
            ({"sequenceNumber": -1}, "sequenceNumber"),
            ({"sequenceNumber": 2**64}, "sequenceNumber"),
            ({"sequenceNumberForAllocation": {"4": 1}}, "sequenceNumberForAllocation[4]"),
            ({"sequenceNumberForAllocation": {"x": 1}}, "sequenceNumberForAllocation[x]"),
            ({"attributes": [{"handle_id": 5}]}, "attributes[0]"),
            ({"deleted": True}, "deleted"),
        ],
    )
    def test_a_broken_block_names_its_field(self, changes: dict[str, Any], field: str) -> None:
        answer = codec.decode(BLOCK, block_text(**changes))
        assert isinstance(answer, Invalid)
        assert answer.reason.startswith(f"{field}: ")


class TestSmallIPAMValues:
    @pytest.mark.parametrize(
        "raw", [b"", b"{}", b'{"state":""}', b'{"state":"confirmed"}', b'{"state":null}']
    )
    def test_old_affinities_are_confirmed(self, raw: bytes) -> None:
        assert codec.decode(AFFINITY, raw) == BlockAffinity(AffinityState.CONFIRMED)

    def test_an_unknown_state_is_invalid(self) -> None:
        assert isinstance(codec.decode(AFFINITY, b'{"state":"x"}'), Invalid)

    def test_handles_keep_both_versions(self) -> None:
        handle = Handle({ip_network("fd00::/122"): 1, ip_network("10.0.0.0/26"): 2})
        raw = b'{"block":{"10.0.0.0/26":2,"fd00::/122":1},"deleted":false}'
        assert codec.encode(handle) == raw
        assert codec.decode(HANDLE, raw) == handle
        assert codec.decode(HANDLE, b'{"block":null}') == Handle({})
        assert isinstance(codec.decode(HANDLE, b'{"block":{"x":1}}'), Invalid)

    def test_an_absent_auto_allocate_blocks_is_false(self) -> None:
        assert codec.decode(IPAMConfigKey(), b'{"strict_affinity":true}') == IPAMConfig(
            strict_affinity=True, auto_allocate_blocks=False
        )

    def test_our_own_values_go_round(self) -> None:
        session, status = Session("m" * 32, "n"), DaemonStatus({"a": [1, "<"]})
        assert codec.decode(SessionKey(NodeName("n")), codec.encode(session)) == session
        assert codec.decode(StatusKey(NodeName("n"), "bgp"), codec.encode(status)) == status
        assert isinstance(codec.decode(SessionKey(NodeName("n")), b"{}"), Invalid)


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


class TestPeer:
    @pytest.mark.parametrize(
        ("text", "address", "port"),
        [
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1:1790", "192.0.2.1", 1790),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]:179", "2001:db8::1", 179),
        ],
    )
    def test_peer_addresses_have_three_forms(
        self, text: str, address: str, port: int | None
    ) -> None:
        peer = decoded(PEER, {"peerIP": text, "asNumber": 64512})
        assert isinstance(peer, BGPPeer)
        assert (str(peer.peer_ip), peer.peer_port) == (address, port)

    def test_the_rest_has_defaults(self) -> None:
        peer = decoded(PEER, {"peerSelector": "rr == 'yes'", "maxRestartTime": "1m30s"})
        assert peer.use_node_ip
        assert peer.max_restart_seconds == 90
        assert peer.next_hop_mode == "Auto"
        assert not decoded(PEER, {"peerIP": "192.0.2.1", "sourceAddress": "None"}).use_node_ip

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({}, "spec.peerIP"),
            ({"peerIP": "192.0.2.1:0"}, "spec.peerIP"),
            ({"peerIP": "192.0.2.1:70000"}, "spec.peerIP"),
            ({"peerIP": "[192.0.2.1]:179"}, "spec.peerIP"),
            ({"peerIP": "tor"}, "spec.peerIP"),
            ({"peerIP": "fe80::1%eth0"}, "spec.peerIP"),
            ({"peerIP": "192.0.2.1", "peerSelector": "all()"}, "spec.peerSelector"),
            ({"peerSelector": "all()", "asNumber": 1}, "spec.peerSelector"),
            ({"peerIP": "192.0.2.1", "node": "a", "nodeSelector": "all()"}, "spec.nodeSelector"),
            ({"peerIP": "192.0.2.1", "sourceAddress": "x"}, "spec.sourceAddress"),
            ({"peerIP": "192.0.2.1", "maxRestartTime": "5"}, "spec.maxRestartTime"),
            ({"peerIP": "192.0.2.1", "ttlSecurity": 256}, "spec.ttlSecurity"),
            ({"peerIP": "192.0.2.1", "reachableBy": "fd00::1"}, "spec.reachableBy"),
            ({"peerIP": "192.0.2.1", "password": {"secretKeyRef": {"name": "x"}}}, "spec.password"),
            ({"localWorkloadSelector": "all()", "asNumber": 1}, "spec.localWorkloadSelector"),
        ],
    )
    def test_a_broken_peer_names_its_field(self, spec: dict[str, Any], field: str) -> None:
        assert reason(PEER, spec).startswith(field)


class TestConfiguration:
    def test_communities_are_resolved(self) -> None:
        configuration = decoded(
            CONFIGURATION,
            {
                "nodeToNodeMeshEnabled": False,
                "asNumber": 64513,
                "communities": [{"name": "red", "value": "64512:100"}],
                "prefixAdvertisements": [{"cidr": "10.0.0.0/16", "communities": ["red", "1:2:3"]}],
            },
        )
        assert isinstance(configuration, BGPConfiguration)
        assert configuration.mesh_enabled is False
        assert configuration.prefix_advertisements is not None
        assert configuration.prefix_advertisements[0].communities == ("64512:100", "1:2:3")

    def test_what_is_not_set_is_none(self) -> None:
        configuration = decoded(CONFIGURATION, {})
        assert (configuration.mesh_enabled, configuration.as_number) == (None, None)

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"listenPort": 0}, "spec.listenPort"),
            ({"nodeMeshMaxRestartTime": "x"}, "spec.nodeMeshMaxRestartTime"),
            (
                {"prefixAdvertisements": [{"cidr": "10.0.0.0/16", "communities": ["blue"]}]},
                "spec.prefixAdvertisements[0].communities",
            ),
            (
                {"prefixAdvertisements": [{"cidr": "10.0.0.0/16", "communities": ["65536:1"]}]},
                "spec.prefixAdvertisements[0].communities",
            ),
            ({"prefixAdvertisements": [{"cidr": ""}]}, "spec.prefixAdvertisements[0].cidr"),
        ],
    )
    def test_a_broken_configuration_names_its_field(self, spec: dict[str, Any], field: str) -> None:
        assert reason(CONFIGURATION, spec).startswith(field)

    def test_one_nodes_configuration_may_not_set_what_is_for_all(self) -> None:
        key = ResourceKey(Kind.BGP_CONFIGURATION, "node.worker-1")
        assert isinstance(decoded(key, {"listenPort": 180}), BGPConfiguration)
        assert reason(key, {"asNumber": 1}).startswith("spec.asNumber")


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
