"""Topologies: what is shipped can be read, what cannot work is refused by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from felix_py.lab import topology_file
from felix_py.lab.errors import LabError

SHIPPED = (
    "default",
    "cluster",
    "cluster-daemons",
    "cluster-plain",
    "dual-stack",
    "host-gw",
    "plain",
    "rack-as",
    "reflector",
    "vxlan",
)


def test_what_is_shipped_is_known_by_name_the_default_first() -> None:
    assert topology_file.shipped() == list(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_topology_can_be_read_by_its_name(name: str) -> None:
    loaded = topology_file.load(name)
    assert loaded.name == name
    assert len(loaded.nodes) in {3, 4}
    assert {rack.tor.kind for rack in loaded.racks} >= {"bird"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_topology_survives_being_written_and_read_again(name: str) -> None:
    loaded = topology_file.load(name)
    text = msgspec.json.encode(loaded, enc_hook=str).decode()
    assert topology_file.parse(text, "again") == loaded


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(LabError, match=r"default, cluster, .*rack-as, reflector"):
        topology_file.load("ring")


def test_a_file_of_ones_own_can_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        (topology_file.SHIPPED / "default.yaml").read_text().replace("node-a1", "alpha")
    )
    assert topology_file.load(str(file)).rack_of("alpha").name == "a"


def change(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("podsPerNode: 3", "podsPerNode: 99", "podsPerNode: 99"),
        ("mesh: true", "mash: true", "mash"),
        ("kind: bird", "kind: cisco", "cisco"),
        ("node-a2", "node-a1", "used twice"),
        ("node-a2", "a-node-with-a-long-name", "not a machine's name"),
        ("node-a2", "etcd", "not a machine's name"),
        ("10.10.2.0/24", "10.10.1.0/24", "overlaps"),
        ("10.10.2.0/24", "10.10.2.0/28", "too small"),
        ("10.10.1.0/24", "fd00::/64", "Expected 4 octets"),
        (
            "asNumber: 65001, outside",
            "asNumber: 64512, outside",
            "external needs node-a1 in another",
        ),
        ("nodes: external", "nodes: reflect", "reflect needs node-a1 in the ToR's AS"),
        ("cidr: 10.244.0.0/16", "cidr: 10.244.0.1/16", "has host bits set"),
        ("asNumber: 65002, outside", "asNumber: 0, outside", "AS number 0"),
    ],
)
def test_what_cannot_work_is_refused_with_the_field(old: str, new: str, complaint: str) -> None:
    text = change((topology_file.SHIPPED / "default.yaml").read_text(), old, new)
    with pytest.raises(LabError, match=complaint):
        topology_file.parse(text, "mine.yaml")


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("dual-stack", "fd00:10:2::/64", "fd00:10:1::/64", "fd00:10:1::/64 overlaps"),
        ("dual-stack", "fd00:10:2::/64", "fd00:10:2::/120", "too small"),
        ("dual-stack", "subnet6: fd00:10:1::/64", "", "needs a subnet6"),
        ("dual-stack", "kind: bird", "kind: frr", "advertised needs a BIRD ToR"),
        ("plain", "tor: gateway", "tor: nobody", "'nobody' is not a ToR"),
        ("plain", "203.0.113.0/24", "203.0.113.0/30", "too small"),
        ("plain", "203.0.113.0/24", "10.10.1.0/24", "overlaps"),
        ("plain", "203.0.113.0/24", "203.0.113.0/24, subnet6: fd01::/64", "no rack has IPv6"),
        ("plain", "name: internet", "name: node-1", "used twice"),
        ("vxlan", "nodes: none", "nodes: external", "of no use with backend vxlan"),
        ("vxlan", "pools:", "peers: [{name: x}]\npools:", "of no use with backend vxlan"),
        ("vxlan", "backend: vxlan", "backend: bird", "bird"),
    ],
)
def test_what_cannot_work_beyond_the_default_is_refused_too(
    name: str, old: str, new: str, complaint: str
) -> None:
    text = change((topology_file.SHIPPED / f"{name}.yaml").read_text(), old, new)
    with pytest.raises(LabError, match=complaint):
        topology_file.parse(text, "mine.yaml")


def test_a_reflector_in_no_rack_is_refused() -> None:
    document = yaml.safe_load((topology_file.SHIPPED / "reflector.yaml").read_text())
    document["reflector"]["rack"] = "z"
    with pytest.raises(LabError, match=r"reflector\.rack: 'z'"):
        topology_file.parse(yaml.safe_dump(document), "mine.yaml")


def test_text_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(LabError, match="not YAML"):
        topology_file.parse("racks: [", "mine.yaml")
