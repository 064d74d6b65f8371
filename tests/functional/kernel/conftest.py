"""A namespace with an uplink, and the kernel adapter inside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from tests.support import netns
from tests.support.netns import Namespaces


@dataclass(frozen=True)
class Host:
    """A namespace whose links `up0` (10.0.0.1/24, fd00::1/64) and `up1` (10.0.1.1/24) are up."""

    namespace: str
    peer: str
    up0: int
    up1: int


@pytest.fixture
def host(namespaces: Namespaces) -> Host:
    here, peer = namespaces.create(), namespaces.create()
    netns.veth((here, "up0"), (peer, "p0"))
    netns.veth((here, "up1"), (peer, "p1"))
    netns.address(here, "up0", "10.0.0.1/24", "fd00::1/64")
    netns.address(here, "up1", "10.0.1.1/24", "fd01::1/64")
    netns.address(peer, "p0", "10.0.0.2/24", "fd00::2/64")
    netns.address(peer, "p1", "10.0.1.2/24", "fd01::2/64")
    links = {link["ifname"]: link["ifindex"] for link in netns.ip_json("link", namespace=here)}
    return Host(here, peer, links["up0"], links["up1"])


@pytest.fixture
def kernel(host: Host) -> Iterator[Pyroute2Kernel]:
    with Pyroute2Kernel(netns=host.namespace) as opened:
        yield opened
