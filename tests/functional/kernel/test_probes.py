"""Probes on the real kernel: what a path carries, who says so, and who else has an address."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from felix_py.kernel.arp_probe import who_has
from felix_py.kernel.icmp_probe import Path, TooLarge, measure
from tests.support import netns
from tests.support.netns import Namespaces

pytestmark = pytest.mark.root


class Line:
    """left -- router -- right, both families."""

    def __init__(self, namespaces: Namespaces) -> None:
        self.left, self.router, self.right = (namespaces.create() for _ in range(3))
        for namespace in (self.left, self.router, self.right):
            netns.run(namespace, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        netns.veth((self.left, "eth0"), (self.router, "l0"))
        netns.veth((self.router, "r0"), (self.right, "eth0"))
        netns.address(self.left, "eth0", "10.0.1.2/24", "fd01::2/64")
        netns.address(self.router, "l0", "10.0.1.1/24", "fd01::1/64")
        netns.address(self.router, "r0", "10.0.2.1/24", "fd02::1/64")
        netns.address(self.right, "eth0", "10.0.2.2/24", "fd02::2/64")
        for namespace, number in ((self.left, 1), (self.right, 2)):
            netns.ip("route", "add", "default", "via", f"10.0.{number}.1", namespace=namespace)
            netns.ip("route", "add", "default", "via", f"fd0{number}::1", namespace=namespace)
        for setting in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            netns.run(self.router, "sysctl", "-qw", f"net.{setting}=1")

    def mtu(self, namespace: str, link: str, mtu: int) -> None:
        netns.ip("link", "set", link, "mtu", str(mtu), namespace=namespace)

    def measure(self, address: str, size: int) -> Path:
        return netns.call(self.left, lambda: measure(ip_address(address), size))


@pytest.fixture
def line(namespaces: Namespaces) -> Line:
    return Line(namespaces)


@pytest.mark.parametrize("address", ["10.0.2.2", "fd02::2"])
def test_a_path_that_carries_it_is_measured_in_one_go(line: Line, address: str) -> None:
    found = line.measure(address, 1500)
    assert (found.fits, found.limit) == (1500, None)
    assert found.echo is not None
    assert found.echo.ttl == 63
    [link] = netns.ip_json("link", "show", "eth0", namespace=line.left)
    assert found.echo.link == link["ifindex"]


@pytest.mark.parametrize(("address", "router"), [("10.0.2.2", "10.0.1.1"), ("fd02::2", "fd01::1")])
def test_a_router_that_says_so_is_named(line: Line, address: str, router: str) -> None:
    line.mtu(line.router, "r0", 1400)
    found = line.measure(address, 1500)
    assert (found.fits, found.limit) == (1400, TooLarge(1400, ip_address(router)))


@pytest.mark.parametrize("address", ["10.0.2.2", "fd02::2"])
def test_a_path_that_swallows_large_packets_is_searched(line: Line, address: str) -> None:
    line.mtu(line.right, "eth0", 1391)
    found = line.measure(address, 1500)
    assert found.limit is None
    # What a veth takes is its MTU and room for a VLAN tag, four bytes.
    assert found.fits == 1395


@pytest.mark.parametrize("address", ["10.0.2.2", "fd02::2"])
def test_the_own_links_limit_is_the_hosts_own(line: Line, address: str) -> None:
    line.mtu(line.left, "eth0", 1400)
    found = line.measure(address, 1500)
    assert (found.fits, found.limit) == (1400, TooLarge(1400, None))


def test_what_does_not_answer_fits_nothing(line: Line) -> None:
    assert line.measure("10.0.1.77", 1500) == Path(0)


def test_an_address_that_two_have_is_answered_by_the_other(namespaces: Namespaces) -> None:
    here, there = namespaces.create(), namespaces.create()
    netns.veth((here, "eth0"), (there, "eth0"))
    netns.address(here, "eth0", "10.0.0.1/24")
    netns.address(there, "eth0", "10.0.0.2/24")
    [mine] = netns.ip_json("link", "show", "eth0", namespace=here)
    [theirs] = netns.ip_json("link", "show", "eth0", namespace=there)

    def claims(address: str) -> frozenset[str]:
        return netns.call(here, lambda: who_has("eth0", mine["address"], IPv4Address(address)))

    assert claims("10.0.0.1") == frozenset()
    netns.address(there, "eth0", "10.0.0.1/24")
    assert claims("10.0.0.1") == {theirs["address"]}
