"""What counts as reached: the ping, the routers on the way, and the right server."""

from __future__ import annotations

import pytest

from felix_py.lab import topology
from felix_py.lab.expect import Seen, routers_between


def seen(ttl: int | None, said: str | None, routers: int = 4) -> Seen:
    return Seen("pod-a", "pod-b", ttl, said, routers)


def test_an_answer_from_the_right_server_over_the_right_routers_is_no_complaint() -> None:
    assert seen(60, "pod-b").complaint is None


@pytest.mark.parametrize(
    ("look", "complaint"),
    [
        (seen(None, "pod-b"), "no answer to a ping"),
        (seen(62, "pod-b"), "passed 2 routers, the topology has 4"),
        (seen(60, None), "TCP answered None"),
        (seen(60, "pod-c"), "TCP answered 'pod-c'"),
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
    assert routers_between(topology.load(name), node, other) == routers
