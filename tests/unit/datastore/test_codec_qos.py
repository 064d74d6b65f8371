"""Traffic controls are read as Calico means them; what cannot be meant names its field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from felix_py.datastore import codec
from felix_py.datastore.codec_qos import DSCP_NAMES, decode_qos
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Invalid, Kind, WorkloadEndpoint
from felix_py.datastore.qos import Bandwidth, Direction, PacketRate, QosControls

KEY = ResourceKey(Kind.WORKLOAD_ENDPOINT, "a-k8s-web-eth0", "default")


def endpoint(**spec: Any) -> WorkloadEndpoint:
    raw = {"orchestrator": "k8s", "node": "a", "endpoint": "eth0", "ipNetworks": ["10.0.0.1/32"]}
    value = codec.decode(KEY, json.dumps({"spec": {**raw, **spec}}).encode())
    assert isinstance(value, WorkloadEndpoint)
    return value


def test_every_field_is_read() -> None:
    found = endpoint(
        qosControls={
            "ingressBandwidth": 1_000_000,
            "ingressBurst": 2_000_000,
            "ingressPeakrate": 3_000_000,
            "ingressMinburst": 4000,
            "ingressPacketRate": 50,
            "ingressPacketBurst": 6,
            "ingressMaxConnections": 7,
            "egressBandwidth": 8_000_000,
            "egressPacketRate": 9,
            "egressMaxConnections": 10,
            "dscp": "af21",
        }
    ).qos
    assert found == QosControls(
        Direction(Bandwidth(1_000_000, 2_000_000, 3_000_000, 4000), PacketRate(50, 6), 7),
        Direction(Bandwidth(8_000_000, 4_294_967_296), PacketRate(9, 5), 10),
        18,
    )


@pytest.mark.parametrize("nothing", [None, {}, {"ingressBandwidth": 0}, {"dscp": None}])
def test_nothing_set_is_nothing(nothing: object) -> None:
    assert decode_qos(nothing) is None


@pytest.mark.parametrize(
    ("controls", "field"),
    [
        ({"ingressBandwidth": 999}, "ingressBandwidth"),
        ({"egressBandwidth": -5}, "egressBandwidth"),
        ({"egressBandwidth": 10**15 + 1}, "egressBandwidth"),
        ({"ingressBurst": 2000}, "ingressBurst: needs ingressBandwidth"),
        ({"ingressBandwidth": 2000, "ingressBurst": 34_359_738_361}, "ingressBurst"),
        ({"egressBandwidth": 2000, "egressPeakrate": 2000}, "egressPeakrate"),
        ({"egressPeakrate": 2000}, "egressPeakrate: needs egressBandwidth"),
        ({"egressBandwidth": 2000, "egressMinburst": 2000}, "egressMinburst: needs egressPeakrate"),
        ({"ingressPacketRate": 10001}, "ingressPacketRate"),
        ({"ingressPacketBurst": 5}, "ingressPacketBurst: needs ingressPacketRate"),
        ({"egressMaxConnections": 2**32}, "egressMaxConnections"),
        ({"dscp": 64}, "dscp"),
        ({"dscp": "AF44"}, "dscp"),
        ({"ingressBandwidth": "10M"}, "spec.qosControls"),
        (["no", "object"], "spec.qosControls"),
    ],
)
def test_what_cannot_be_meant_names_its_field_and_costs_the_endpoint_nothing_else(
    controls: object, field: str
) -> None:
    found = endpoint(qosControls=controls)
    assert isinstance(found.qos, Invalid)
    assert field in found.qos.reason
    assert [str(network) for network in found.networks] == ["10.0.0.1/32"]


@pytest.mark.parametrize(
    ("stored", "number"), [(0, 0), (63, 63), ("20", 20), ("EF", 46), ("cs6", 48), ("AF43", 38)]
)
def test_dscp_is_a_number_or_a_name(stored: object, number: int) -> None:
    found = decode_qos({"dscp": stored})
    assert isinstance(found, QosControls)
    assert found.dscp == number


def test_the_names_of_dscp_values_are_those_of_the_standards() -> None:
    assert {name: DSCP_NAMES[name] for name in ("DF", "EF", "AF11", "AF33", "CS1", "CS6")} == {
        "DF": 0,
        "EF": 46,
        "AF11": 10,
        "AF33": 30,
        "CS1": 8,
        "CS6": 48,
    }
    assert len(DSCP_NAMES) == 21
