"""A node and its neighbours on one wire: 10.99.0.1 is ours, .2 and .3 run BIRD."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from bgp.model import Attributes, Family, Peering
from tests.support import netns
from tests.support.bgp_node import BgpNode
from tests.support.bird import Bird, configuration, session

BOTH = (Family.IPV4, Family.IPV6)


@dataclass
class Wire:
    """The namespaces of one test, and where its processes keep their files."""

    node: str
    left: str
    right: str
    directory: Path

    def bird(
        self,
        side: str,
        *,
        asn: int = 64512,
        options: tuple[str, ...] = (),
        routes: tuple[str, ...] = (),
        prefix: str = "10.99.0.",
    ) -> Bird:
        """A BIRD that peers with the node: `left` is 10.99.0.2, `right` 10.99.0.3."""
        number = {"left": 2, "right": 3}[side]
        own, node = f"{prefix}{number}", f"{prefix}1"
        text = configuration(
            f"10.99.0.{number}",
            session("node", own, node, asn=asn, neighbor_asn=64512, options=options),
            routes=routes,
        )
        return Bird(getattr(self, side), self.directory / side, text)


def peering(number: int, *, peer_as: int = 64512, **changes: object) -> Peering:
    """The node's session with 10.99.0.<number>."""
    values: dict[str, object] = {
        "peer": ip_address(f"10.99.0.{number}"),
        "local": ip_address("10.99.0.1"),
        "local_as": 64512,
        "peer_as": peer_as,
        "router_id": IPv4Address("10.99.0.1"),
        "families": BOTH,
        "hold_seconds": 9,
        **changes,
    }
    return Peering(**values)  # type: ignore[arg-type]


SELF = Attributes(next_hop="10.99.0.1")
SELF6 = Attributes(next_hop="fd99::1")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A run directory that ExaBGP's user may enter; pytest's own are for root alone."""
    with tempfile.TemporaryDirectory(prefix="felix-py-bgp-") as made:
        path = Path(made)
        path.chmod(0o755)
        yield path


@pytest.fixture
def wire(namespaces: netns.Namespaces, directory: Path) -> Wire:
    """Three namespaces on one bridge inside the first."""
    node, left, right = (namespaces.create() for _ in range(3))
    netns.ip("link", "add", "br0", "type", "bridge", namespace=node)
    netns.ip("link", "set", "br0", "up", namespace=node)
    for port, other in (("left", left), ("right", right)):
        netns.veth((node, port), (other, "eth0"))
        netns.ip("link", "set", port, "master", "br0", namespace=node)
    for namespace, link, number in ((node, "br0", 1), (left, "eth0", 2), (right, "eth0", 3)):
        netns.address(namespace, link, f"10.99.0.{number}/24", f"fd99::{number}/64")
    return Wire(node, left, right, directory)


@pytest.fixture
def node(wire: Wire) -> Iterator[BgpNode]:
    """The node's launcher, without an agent yet."""
    with BgpNode(wire.node, wire.directory) as running:
        yield running
