"""The ConfigMap that people edit: every bad value is one sentence that names its field."""

from __future__ import annotations

import pytest

from felix_py.install.configuration import parse
from felix_py.install.errors import BadConfiguration

SOURCE = "ConfigMap felix-py-config"
GOOD = {
    "etcd_endpoints": "https://10.96.232.136:12379, https://etcd.example.com:2379",
    "etcd_nodes": "cp-1 cp-2,cp-3",
    "pools": "- {name: main, cidr: 10.244.0.0/16, natOutgoing: true}",
    "as_number": "64512",
    "node_mesh": "false",
    "bgp_configuration": "serviceClusterIPs: [{cidr: 10.96.0.0/16}]",
    "bgp_peers": "- {name: tor-a, peerIP: 10.10.1.1, asNumber: 65001}",
    "felix_configuration": "workloadSourceSpoofing: Any",
}


def test_each_part_becomes_an_object_and_the_hosts_of_etcd_are_known() -> None:
    read = parse(GOOD, SOURCE)
    assert read.etcd_names == ("10.96.232.136", "etcd.example.com")
    assert read.etcd_nodes == ("cp-1", "cp-2", "cp-3")
    assert [document.title for document in read.seeds] == [
        "IPPool(main)",
        "BGPConfiguration(default)",
        "BGPPeer(tor-a)",
        "FelixConfiguration(default)",
    ]
    assert read.seeds[1].spec["nodeToNodeMeshEnabled"] is False


def test_what_is_left_empty_is_left_out() -> None:
    read = parse({"etcd_endpoints": "https://10.0.0.1:2379"}, SOURCE)
    assert [document.title for document in read.seeds] == ["BGPConfiguration(default)"]
    assert read.seeds[0].spec == {"nodeToNodeMeshEnabled": True}
    assert read.etcd_nodes == ()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("etcd_endpoints", "", "is empty"),
        ("etcd_endpoints", "10.0.0.1:2379", "is not a URL"),
        ("etcd_nodes", "a b", "names 2 nodes; etcd wants one, three or five"),
        ("etcd_nodes", "A_b", "is not a node's name"),
        ("pools", "main: 1", "must be a YAML list"),
        ("pools", "- [", "is not YAML"),
        ("pools", "- {cidr: 10.1.0.0/16}", "entry 1 has no name"),
        ("pools", "- {name: a, cidr: 10.1.0.0/33}", r"IPPool\(a\): spec\.cidr: '10\.1\.0\.0/33'"),
        (
            "pools",
            "- {name: a, cidr: 10.1.0.0/16, blocksize: 26}",
            r"spec\.blocksize: no such field",
        ),
        ("as_number", "many", "'many' is not a number from 1 to"),
        ("node_mesh", "maybe", "'maybe' is neither true nor false"),
        ("bgp_configuration", "asNumber: 1", "asNumber is the field as_number of the ConfigMap"),
        ("bgp_peers", "- {name: t, peerIP: here, asNumber: 1}", r"BGPPeer\(t\): spec\.peerIP"),
        ("felix_configuration", "- a", "must be a YAML mapping"),
    ],
)
def test_a_bad_value_is_one_sentence_with_its_field(field: str, value: str, told: str) -> None:
    with pytest.raises(BadConfiguration, match=rf"^{SOURCE}, field {field}: .*{told}") as caught:
        parse({**GOOD, field: value}, SOURCE)
    assert "\n" not in str(caught.value)
