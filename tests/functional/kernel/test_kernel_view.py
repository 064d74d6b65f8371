"""One look at a real kernel: which route a packet takes, neighbours, FDB, tunnels, nftables."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.kernel_view import KernelView
from felix_py.kernel.model import RouteKind
from felix_py.kernel.route_lookup import Question
from tests.support import netns
from tests.support.netns import Namespaces

pytestmark = pytest.mark.root

FAR, NEAR, GATEWAY = (ip_address(a) for a in ("10.9.0.1", "10.1.0.5", "10.1.0.1"))
FAR6 = ip_address("fd09::1")


@pytest.fixture
def router(namespaces: Namespaces) -> str:
    """A namespace that forwards, with a link `up0` and a link `pod0`."""
    made, other = namespaces.create(), namespaces.create()
    netns.veth((made, "up0"), (other, "down0"))
    netns.veth((made, "pod0"), (other, "in0"))
    netns.address(made, "up0", "10.1.0.2/24", "fd01::2/64")
    for name in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
        netns.run(made, "sysctl", "-qw", name)
    netns.ip("route", "add", "10.2.0.0/24", "dev", "pod0", namespace=made)
    netns.ip("route", "add", "10.9.0.0/16", "via", str(GATEWAY), "metric", "7", namespace=made)
    netns.ip("route", "add", "fd09::/64", "via", "fd01::1", namespace=made)
    return made


def index(namespace: str, link: str) -> int:
    """A link's index, by iproute2."""
    return int(netns.ip_json("link", "show", link, namespace=namespace)[0]["ifindex"])


def test_a_packet_of_the_host_takes_the_route_that_matches(router: str) -> None:
    with KernelView(router) as view:
        found, found6 = view.lookup(Question(FAR)), view.lookup(Question(FAR6))
    assert (str(found.prefix), found.metric, found.table) == ("10.9.0.0/16", 7, 254)
    assert [hop.gateway for hop in found.next_hops] == [GATEWAY]
    assert (str(found6.prefix), found6.table) == ("fd09::/64", 254)


def test_a_forwarded_packet_is_dropped_by_a_strict_reverse_path_filter(router: str) -> None:
    wrong = Question(FAR, ip_address("10.2.0.9"), index(router, "up0"))
    with KernelView(router) as view:
        assert str(view.lookup(wrong).prefix) == "10.9.0.0/16"
        netns.run(router, "sysctl", "-qw", "net.ipv4.conf.up0.rp_filter=1")
        with pytest.raises(KernelRefused) as refused:
            view.lookup(wrong)
        right = view.lookup(Question(FAR, ip_address("10.2.0.9"), index(router, "pod0")))
    assert refused.value.errno in {errno.EXDEV, errno.EINVAL}
    assert right.kind is RouteKind.UNICAST


def test_a_blackhole_swallows_the_packet(router: str) -> None:
    netns.ip("route", "add", "blackhole", "10.9.0.0/24", namespace=router)
    with KernelView(router) as view, pytest.raises(KernelRefused) as refused:
        view.lookup(Question(FAR))
    assert refused.value.errno == errno.EINVAL


def test_neighbours_are_told_with_their_state(router: str) -> None:
    mac = "02:00:00:00:00:09"
    netns.ip(
        *("neigh", "add", str(GATEWAY), "lladdr", mac, "dev", "up0", "nud", "permanent"),
        namespace=router,
    )
    with KernelView(router) as view:
        found = [(n.ifindex, n.mac, n.state) for n in view.neighbours() if n.address == GATEWAY]
    assert found == [(index(router, "up0"), mac, "permanent")]


def test_a_vxlan_device_tells_its_parameters_and_its_forwarding_entries(router: str) -> None:
    mac = "66:00:00:00:00:09"
    netns.ip(
        *("link", "add", "vx", "type", "vxlan", "id", "77", "dev", "up0", "local", "10.1.0.2"),
        *("dstport", "4789", "nolearning"),
        namespace=router,
    )
    netns.run(router, "bridge", "fdb", "add", mac, "dev", "vx", "dst", str(NEAR), "permanent")
    with KernelView(router) as view:
        detail = view.tunnels()[index(router, "vx")]
        found = [(e.mac, e.far_end, e.state) for e in view.forwarding() if e.far_end is not None]
    assert (detail.vni, detail.port, detail.learning) == (77, 4789, False)
    assert (detail.local, detail.parent) == (ip_address("10.1.0.2"), index(router, "up0"))
    assert found == [(mac, NEAR, "permanent")]


def test_tables_of_nftables_are_named_with_their_chains_and_sets(router: str) -> None:
    netns.run(router, "nft", "add table inet t; add chain inet t c; add set inet t s {type mark;}")
    netns.run(router, "nft", "add rule inet t c counter; add rule inet t c drop")
    netns.run(router, "nft", "add table ip t")
    with KernelView(router) as view:
        found = {(t.family, t.name): (t.chains, t.sets) for t in view.nft_tables()}
    assert found == {("inet", "t"): ({"c": 2}, ("s",)), ("ip", "t"): ({}, ())}


def test_the_elements_of_a_set_are_told_as_the_kernel_packs_them(router: str) -> None:
    many = ", ".join(f"10.3.{n // 250}.{n % 250}" for n in range(2000))
    netns.run(router, "nft", "add table inet t; add set inet t s {type ipv4_addr;}")
    netns.run(router, "nft", f"add element inet t s {{ {many} }}")
    with KernelView(router) as view:
        found = view.nft_elements("inet", "t", "s")
        with pytest.raises(KernelRefused):
            view.nft_elements("inet", "t", "nothing")
    assert len(found) == 2000
    assert ip_address("10.3.7.249").packed in found
