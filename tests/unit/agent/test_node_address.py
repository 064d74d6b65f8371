"""Which address of the host becomes the node's, and how that is told."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from felix_py.agent.calc.node_address import (
    BadMethod,
    HostView,
    Recorded,
    check,
    detect,
)
from felix_py.kernel.model import Address, Link, Route, Scope
from tests.unit.agent.builders import address, underlay

LINKS = tuple(
    Link(index, name, up=True)
    for index, name in enumerate(["lo", "eth0", "eth1", "docker0", "cali1"], start=1)
)
ADDRESSES = (
    address(1, "127.0.0.1/8", Scope.HOST),
    address(2, "192.168.50.11/24"),
    address(2, "192.168.50.100/24", secondary=True),
    address(3, "10.1.0.5/16"),
    address(4, "172.17.0.1/16"),
    address(2, "fd50::11/64"),
    address(2, "fe80::1/64", Scope.LINK),
)
DEFAULT = underlay("0.0.0.0/0", 2, "192.168.50.1", metric=100)


def view(*routes: Route, addresses: tuple[Address, ...] = ADDRESSES) -> HostView:
    return HostView(LINKS, addresses, routes)


def test_auto_takes_the_address_beside_the_default_gateway() -> None:
    found = detect(4, "auto", view(DEFAULT), None)
    assert (str(found.interface), found.warning) == ("192.168.50.11/24", None)
    assert found.how == "default route via eth0"


def test_auto_takes_the_cheapest_default_route_and_its_preferred_source() -> None:
    cheaper = underlay("0.0.0.0/0", 3, "10.1.0.1", metric=50)
    assert str(detect(4, "auto", view(DEFAULT, cheaper), None).interface) == "10.1.0.5/16"
    sourced = underlay("0.0.0.0/0", 3, "10.1.0.1", metric=50, source="10.1.0.6")
    more = (*ADDRESSES, address(3, "10.1.0.6/16"))
    assert str(detect(4, "auto", view(sourced, addresses=more), None).interface) == "10.1.0.6/16"


def test_auto_never_takes_dockers_or_a_pods_link_even_for_a_default_route() -> None:
    through_docker = underlay("0.0.0.0/0", 4, "172.17.0.9")
    found = detect(4, "auto", view(through_docker), None)
    assert str(found.interface) == "192.168.50.11/24"
    assert not found.steady


def test_without_a_default_route_the_first_address_is_a_guess_and_says_so() -> None:
    found = detect(4, "auto", view(), None)
    assert (str(found.interface), found.steady) == ("192.168.50.11/24", False)
    assert found.how == "no default route, first address via eth0"


def test_ipv6_is_detected_the_same_way() -> None:
    found = detect(6, "auto", view(underlay("::/0", 2, "fe80::ff")), None)
    assert str(found.interface) == "fd50::11/64"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("192.168.50.11", "192.168.50.11/24"),
        ("192.168.50.11/25", "192.168.50.11/25"),
        ("192.168.50.100", "192.168.50.100/24"),
        ("172.17.0.1", "172.17.0.1/16"),
        ("cidr=10.0.0.0/8,192.168.0.0/16", "10.1.0.5/16"),
        ("interface=eth1", "10.1.0.5/16"),
        ("interface=ens.*,eth.*", "192.168.50.11/24"),
        ("can-reach=10.2.0.1", "10.1.0.5/16"),
        ("can-reach=8.8.8.8", "192.168.50.11/24"),
    ],
)
def test_the_operators_own_way_is_followed(method: str, expected: str) -> None:
    routes = (DEFAULT, underlay("10.0.0.0/8", 3, "10.1.0.1"))
    found = detect(4, method, view(*routes), None)
    assert (str(found.interface), found.warning) == (expected, None)


@pytest.mark.parametrize(
    "method", ["192.168.99.1", "cidr=10.99.0.0/16", "interface=ens9", "can-reach=8.8.8.8"]
)
def test_what_cannot_be_found_is_named_and_nothing_is_taken_instead(method: str) -> None:
    found = detect(4, method, view(), None)
    assert found.interface is None
    assert found.warning is not None
    assert method.rsplit("=", maxsplit=1)[-1] in found.warning


def test_none_is_respected_without_a_warning() -> None:
    assert detect(6, "none", view(), None).warning is None


def test_a_host_prefix_takes_the_connected_routes_length() -> None:
    addresses = (address(2, "10.9.0.4/32"),)
    routes = (underlay("0.0.0.0/0", 2, "10.9.0.1"), underlay("10.9.0.0/20", 2))
    found = detect(4, "auto", view(*routes, addresses=addresses), None)
    assert str(found.interface) == "10.9.0.4/20"
    assert "prefix of the connected route" in found.how


def test_a_host_prefix_without_any_subnet_is_never_silent() -> None:
    addresses = (address(2, "10.9.0.4/32"),)
    found = detect(4, "auto", view(DEFAULT, addresses=addresses), None)
    assert str(found.interface) == "10.9.0.4/32"
    assert "10.9.0.4/32" in (found.warning or "")
    kept = Recorded(ip_interface("10.9.0.4/32"), "auto", found.how, steady=True)
    assert detect(4, "auto", view(DEFAULT, addresses=addresses), kept) == found
    assert "felix.ipv4Address" in (found.warning or "")


def recorded(
    text: str = "192.168.50.11/24", method: str = "auto", *, steady: bool = True
) -> Recorded:
    return Recorded(ip_interface(text), method, "default route via eth0", steady)


def test_a_new_default_route_does_not_move_a_running_node() -> None:
    elsewhere = view(underlay("0.0.0.0/0", 3, "10.1.0.1"))
    found = detect(4, "auto", elsewhere, recorded())
    assert str(found.interface) == "192.168.50.11/24"
    assert found.how == "default route via eth0"


@pytest.mark.parametrize(
    "old",
    [
        recorded("192.168.50.12/24"),
        recorded(method="interface=eth0"),
        recorded(steady=False),
    ],
)
def test_a_lost_address_another_method_or_a_guess_is_looked_for_again(old: Recorded) -> None:
    elsewhere = view(underlay("0.0.0.0/0", 3, "10.1.0.1"))
    assert str(detect(4, "auto", elsewhere, old).interface) == "10.1.0.5/16"


@pytest.mark.parametrize(
    "method", ["auto", "none", "10.0.0.1", "10.0.0.1/8", "cidr=10.0.0.0/8", "interface=e.*"]
)
def test_good_methods_pass(method: str) -> None:
    check(method, 4)


@pytest.mark.parametrize(
    "method",
    [
        "",
        "automatic",
        "fd00::1",
        "cidr=",
        "cidr=fd00::/8",
        "interface=",
        "interface=(",
        "can-reach=",
    ],
)
def test_bad_methods_are_refused_with_field_and_forms(method: str) -> None:
    with pytest.raises(BadMethod, match=r"felix\.ipv4Address: .*can-reach"):
        check(method, 4)
