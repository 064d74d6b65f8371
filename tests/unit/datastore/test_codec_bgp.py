"""Peers and BGP configurations: what is read, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from felix_py.datastore.keys import (
    ResourceKey,
)
from felix_py.datastore.model import Kind
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from tests.unit.datastore.codec_keys import CONFIGURATION, PEER, decoded, reason


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
