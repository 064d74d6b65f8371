"""What counts as reached: the ping, the routers on the way, and the right server."""

from __future__ import annotations

import pytest

from felix_py.lab import paths, topology_file
from felix_py.lab.expect import Seen
from felix_py.lab.paths import Way

OWN, NODE = "10.244.0.1", "10.10.1.11"
FAR = Way(4)


def seen(
    ttl: int | None, said: str | None, way: Way = FAR, saw: str | None = OWN, version: int = 4
) -> Seen:
    expected = NODE if way.translated else OWN
    return Seen("pod-a", "pod-b", ttl, said, way, saw, expected, version)


def test_an_answer_from_the_right_server_over_the_right_routers_is_no_complaint() -> None:
    assert seen(60, "pod-b").complaint is None


@pytest.mark.parametrize(
    ("look", "complaint"),
    [
        (seen(None, "pod-b"), "no answer to a ping"),
        (seen(62, "pod-b"), "passed 2 routers, the topology has 4"),
        (seen(60, None), "TCP answered None"),
        (seen(60, "pod-c"), "TCP answered 'pod-c'"),
        (seen(60, "pod-b", Way(2, "vxlan")), "passed 4 routers, the topology has 2 by vxlan"),
        (seen(62, "pod-b", Way(2, translated=True)), f"is seen as {OWN}, and should be as {NODE}"),
        (seen(60, "pod-b", saw=NODE), f"is seen as {NODE}, and should be as {OWN}"),
        (seen(None, None, version=6), "pod-a -> pod-b by IPv6: no answer"),
    ],
)
def test_everything_else_is_named(look: Seen, complaint: str) -> None:
    assert look.complaint is not None
    assert complaint in look.complaint


@pytest.mark.parametrize(
    ("name", "node", "other", "routers"),
    [
        ("default", "node-a1", "node-a1", 1),
        ("default", "node-a1", "node-a2", 2),
        ("rack-as", "node-a1", "node-a2", 3),
        ("reflector", "node-a1", "node-a2", 2),
        ("default", "node-a1", "node-b1", 4),
        ("rack-as", "node-b1", "node-a1", 4),
        ("default", "node-a1", "tor-a", 1),
        ("default", "node-a1", "tor-b", 2),
    ],
)
def test_the_routers_between_two_follow_from_the_topology(
    name: str, node: str, other: str, routers: int
) -> None:
    assert paths.between(topology_file.load(name), node, other, OWN) == Way(routers)


@pytest.mark.parametrize(
    ("name", "node", "other", "way"),
    [
        ("vxlan", "node-a1", "node-a2", Way(2)),
        ("vxlan", "node-a1", "node-b1", Way(2, "vxlan")),
        ("vxlan", "node-a1", "node-a1", Way(1)),
        ("vxlan", "node-a1", "tor-b", Way(2, translated=True)),
        ("vxlan", "node-a1", "internet", Way(3, translated=True)),
        ("plain", "node-1", "internet", Way(2, translated=True)),
        ("plain", "node-1", "node-2", Way(2)),
    ],
)
def test_a_tunnel_hides_the_routers_and_what_leaves_the_pools_is_the_nodes(
    name: str, node: str, other: str, way: Way
) -> None:
    assert paths.between(topology_file.load(name), node, other, OWN) == way


@pytest.mark.parametrize(
    ("field", "mode", "across", "inside"),
    [
        ("ipipMode", "Always", "ipip", "ipip"),
        ("ipipMode", "CrossSubnet", "ipip", ""),
        ("vxlanMode", "Always", "vxlan", "vxlan"),
        ("vxlanMode", "Never", "", ""),
    ],
)
def test_the_pools_mode_says_which_pairs_tunnel(
    field: str, mode: str, across: str, inside: str
) -> None:
    text = (topology_file.SHIPPED / "default.yaml").read_text()
    lab = topology_file.parse(text.replace("blockSize: 26", f"{field}: {mode}"), "mine")
    assert paths.tunnel_between(lab, "node-a1", "node-b1", OWN) == across
    assert paths.tunnel_between(lab, "node-a1", "node-a2", OWN) == inside
    assert paths.tunnel_between(lab, "node-a1", "node-b1", "10.9.9.9") == ""
    assert paths.encapsulates(lab) == (mode != "Never")


def test_what_is_outside_answers_those_to_whom_it_has_a_way_back() -> None:
    default, plain = topology_file.load("default"), topology_file.load("plain")
    assert paths.answered(default, "node-a1", OWN, "tor-b")
    assert paths.answered(plain, "node-1", OWN, "internet")
    text = (topology_file.SHIPPED / "plain.yaml").read_text().replace(", natOutgoing: true", "")
    assert not paths.answered(topology_file.parse(text, "mine"), "node-1", OWN, "internet")
