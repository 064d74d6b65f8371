"""What a topology puts into etcd."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from felix_py.lab import store_content, topology_file
from felix_py.lab.errors import LabError
from felix_py.lab.topology import Resource, Topology

R = "/calico/resources/v3/projectcalico.org/"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def documents(lab: Topology) -> dict[str, Any]:
    made = store_content.documents(lab, "0" * 32, AT)
    return {key.removeprefix(R): json.loads(raw) for key, raw in made.items()}


def test_the_cluster_is_ready_and_has_its_pools_and_peers() -> None:
    found = documents(topology_file.load("default"))
    assert found["clusterinformations/default"]["spec"]["datastoreReady"] is True
    assert found["ippools/pods"]["spec"]["cidr"] == "10.244.0.0/16"
    assert found["bgppeers/tor-a"]["spec"]["nodeSelector"] == "rack == 'a'"
    assert found["bgpconfigurations/default"]["spec"]["nodeToNodeMeshEnabled"] is True


def test_nodes_stand_with_their_rack_as_label_and_their_own_as_number() -> None:
    found = documents(topology_file.load("rack-as"))
    assert found["nodes/node-b1"]["metadata"]["labels"]["rack"] == "b"
    assert found["nodes/node-b1"]["spec"]["bgp"]["asNumber"] == 65002
    assert documents(topology_file.load("default"))["nodes/node-b1"]["spec"] == {}


def test_a_peer_that_the_daemons_would_not_accept_is_refused_before_anything_is_written() -> None:
    lab = topology_file.load("default")
    broken = msgspec.structs.replace(lab, peers=(Resource("bad", {"peerIP": "not-an-address"}),))
    with pytest.raises(LabError, match="bgppeers bad"):
        documents(broken)
