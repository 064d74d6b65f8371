"""Pods' links on the real kernel: seen with `ip -j`, proved with ping."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import TypeVar

import pytest

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import PodSpec, PutRoute, VethSpec
from felix_py.kernel.ownership import HOST_MAC
from felix_py.kernel.pod_links import NetlinkPodLinks
from felix_py.kernel.pod_route import pod_route
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from tests.support import netns
from tests.support.netns import Namespaces

pytestmark = pytest.mark.root

T = TypeVar("T")

GATEWAYS = {4: ip_address("169.254.1.1"), 6: ip_address("fe80::ecee:eeff:feee:eeee")}


class Node:
    """A namespace that plays the node; PodLinks works in it, through a thread that entered it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.links = NetlinkPodLinks()
        self.executor = ThreadPoolExecutor(8, initializer=netns.enter, initargs=(namespace,))

    def do(self, function: Callable[[], T]) -> T:
        """Call a function in the node's namespace."""
        return self.executor.submit(function).result(30)

    def close(self) -> None:
        self.executor.shutdown()
        self.links.close()


@pytest.fixture
def node(namespaces: Namespaces) -> Iterator[Node]:
    made = Node(namespaces.create(prefix="fxn"))
    netns.run(made.namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    netns.run(made.namespace, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    netns.address(made.namespace, "lo", "192.0.2.1/32", "2001:db8::1/128")
    yield made
    made.close()


@contextmanager
def namespace_fd(namespace: str) -> Iterator[int]:
    descriptor = os.open(netns.path(namespace), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def veth_spec(name: str = "cali0", alias: str = "k8s-pod-network.abc") -> VethSpec:
    return VethSpec(name, "eth0", alias, 1430, HOST_MAC, "02:00:00:00:00:07", rp_filter=1)


def pod_spec(*addresses: str) -> PodSpec:
    return PodSpec("eth0", tuple(map(ip_address, addresses)), GATEWAYS, HOST_MAC)


def add_pod(node: Node, pod: str, *addresses: str, name: str = "cali0") -> int:
    """ADD as the CNI server does it: pair, pod's side, the node's routes."""
    with namespace_fd(pod) as descriptor:
        index = node.do(lambda: node.links.create(veth_spec(name), descriptor))
        node.do(lambda: node.links.configure_pod(pod_spec(*addresses), descriptor))
    with Pyroute2Kernel(netns=node.namespace) as kernel:
        routes = [PutRoute(pod_route(ip_address(each), index)) for each in addresses]
        assert kernel.change_routes(routes) == (None,) * len(routes)
    return index


def test_node_and_pod_reach_each_other_at_once_in_both_families(
    node: Node, namespaces: Namespaces
) -> None:
    pod = namespaces.create()
    add_pod(node, pod, "10.1.0.7", "2001:db8:1::7")
    assert netns.succeeds(node.namespace, "ping", "-c1", "-W1", "10.1.0.7")
    assert netns.succeeds(node.namespace, "ping", "-c1", "-W1", "2001:db8:1::7")
    assert netns.succeeds(pod, "ping", "-c1", "-W1", "192.0.2.1")
    assert netns.succeeds(pod, "ping", "-c1", "-W1", "2001:db8::1")


def test_two_pods_reach_each_other_through_the_node(node: Node, namespaces: Namespaces) -> None:
    one, two = namespaces.create(), namespaces.create()
    add_pod(node, one, "10.1.0.7", "2001:db8:1::7", name="cali1")
    add_pod(node, two, "10.1.0.8", "2001:db8:1::8", name="cali2")
    assert netns.succeeds(one, "ping", "-c1", "-W1", "10.1.0.8")
    assert netns.succeeds(one, "ping", "-c1", "-W1", "2001:db8:1::8")


def test_the_host_side_carries_the_mark_and_its_settings(
    node: Node, namespaces: Namespaces
) -> None:
    pod = namespaces.create()
    index = add_pod(node, pod, "10.1.0.7")
    [link] = netns.ip_json("link", "show", "cali0", namespace=node.namespace)
    assert (link["ifindex"], link["ifalias"]) == (index, "k8s-pod-network.abc")
    assert (link["address"], link["mtu"], link["operstate"]) == (HOST_MAC, 1430, "UP")
    read = [
        netns.run(node.namespace, "sysctl", "-n", f"net.{name}").strip()
        for name in (
            "ipv4.conf.cali0.forwarding",
            "ipv4.conf.cali0.proxy_arp",
            "ipv4.conf.cali0.rp_filter",
            "ipv4.conf.cali0.route_localnet",
            "ipv6.conf.cali0.accept_ra",
        )
    ]
    assert read == ["1", "1", "1", "0", "0"]
    [shown] = netns.ip_json("-6", "address", "show", "dev", "cali0", namespace=node.namespace)
    [six] = shown["addr_info"]
    assert (six["local"], six["prefixlen"]) == ("fe80::ecee:eeff:feee:eeee", 64)
    assert "tentative" not in six
    found = node.do(lambda: node.links.find("cali0"))
    assert found is not None
    assert found.index == index
    assert node.do(lambda: node.links.find("cali9")) is None


def test_the_pods_side_has_permanent_neighbours_and_may_not_forward(
    node: Node, namespaces: Namespaces
) -> None:
    pod = namespaces.create()
    netns.run(pod, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    netns.run(pod, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    add_pod(node, pod, "10.1.0.7", "2001:db8:1::7")
    neighbours = netns.ip_json("neighbour", "show", "nud", "permanent", namespace=pod)
    assert {(each["dst"], each["lladdr"]) for each in neighbours} >= {
        ("169.254.1.1", HOST_MAC),
        ("fe80::ecee:eeff:feee:eeee", HOST_MAC),
    }
    routes = netns.ip_json("route", namespace=pod)
    assert {(each["dst"], each.get("gateway"), each.get("scope")) for each in routes} >= {
        ("default", "169.254.1.1", "global"),
        ("169.254.1.1", None, "link"),
    }
    assert netns.run(pod, "sysctl", "-n", "net.ipv4.ip_forward").strip() == "0"


def test_configuring_a_pod_twice_changes_nothing_and_inspection_sees_it(
    node: Node, namespaces: Namespaces
) -> None:
    pod = namespaces.create()
    add_pod(node, pod, "10.1.0.7", "2001:db8:1::7")
    with namespace_fd(pod) as descriptor:
        spec = pod_spec("10.1.0.7", "2001:db8:1::7")
        node.do(lambda: node.links.configure_pod(spec, descriptor))
        link, addresses, routes = node.do(lambda: node.links.inspect_pod("eth0", descriptor))
        gone, _, _ = node.do(lambda: node.links.inspect_pod("eth9", descriptor))
    assert gone is None
    assert link is not None
    assert (link.name, link.mac, link.mtu) == ("eth0", "02:00:00:00:00:07", 1430)
    assert {each.interface for each in addresses} >= {
        ip_interface("10.1.0.7/32"),
        ip_interface("2001:db8:1::7/128"),
    }
    assert {str(each.key.prefix) for each in routes} >= {"0.0.0.0/0", "::/0", "169.254.1.1/32"}


def test_a_taken_host_name_is_refused_and_left_as_it_is(node: Node, namespaces: Namespaces) -> None:
    one, two = namespaces.create(), namespaces.create()
    index = add_pod(node, one, "10.1.0.7")
    with namespace_fd(two) as descriptor, pytest.raises(KernelRefused) as refused:
        node.do(lambda: node.links.create(veth_spec(alias="another"), descriptor))
    assert refused.value.errno == errno.EEXIST
    link = node.do(lambda: node.links.find("cali0"))
    assert link is not None
    assert (link.index, link.alias) == (index, "k8s-pod-network.abc")
    assert netns.succeeds(node.namespace, "ping", "-c1", "-W1", "10.1.0.7")


def test_a_failed_set_up_leaves_no_link_behind(node: Node, namespaces: Namespaces) -> None:
    pod = namespaces.create()
    with namespace_fd(pod) as descriptor, pytest.raises(KernelRefused) as refused:
        node.do(lambda: node.links.create(veth_spec(alias="x" * 256), descriptor))
    assert refused.value.errno == errno.ENAMETOOLONG
    with namespace_fd(pod) as descriptor, pytest.raises(KernelRefused) as refused:
        node.do(lambda: node.links.configure_pod(pod_spec("10.1.0.7"), descriptor))
    assert refused.value.errno == errno.ENODEV
    assert node.do(lambda: node.links.find("cali0")) is None


def test_the_calling_threads_stay_in_their_own_namespace(
    node: Node, namespaces: Namespaces
) -> None:
    pod = namespaces.create()

    def where() -> tuple[int, int]:
        status = Path("/proc/thread-self/ns/net").stat()
        return status.st_dev, status.st_ino

    before = {node.do(where) for _ in range(16)}
    add_pod(node, pod, "10.1.0.7")
    assert {node.do(where) for _ in range(16)} == before


def test_links_deleted_by_many_threads_at_once_are_gone_and_others_stay(
    node: Node, namespaces: Namespaces
) -> None:
    pod = namespaces.create()
    indexes = []
    with namespace_fd(pod) as descriptor:
        for number in range(25):
            spec = VethSpec(f"cali{number}", f"eth{number}", "handle", 1430, HOST_MAC)
            indexes.append(node.do(partial(node.links.create, spec, descriptor)))
    start = threading.Barrier(8)

    def delete(mine: list[int]) -> None:
        start.wait(10)
        node.links.delete(mine)

    doing = [node.executor.submit(delete, indexes[turn:24:8]) for turn in range(8)]
    for each in doing:
        each.result(30)
    left = [link["ifname"] for link in netns.ip_json("link", namespace=node.namespace)]
    assert left == ["lo", "cali24"]
    node.do(lambda: node.links.delete(indexes))
    node.do(lambda: node.links.delete(indexes))
    assert [link["ifname"] for link in netns.ip_json("link", namespace=node.namespace)] == ["lo"]


def test_a_deleted_link_and_its_routes_are_gone_when_delete_returns_and_its_name_is_free(
    node: Node, namespaces: Namespaces
) -> None:
    """Looked at in files that wait for no lock: the kernel is still tidying up."""
    pod = namespaces.create()

    def shown(name: str) -> str:
        return Path(f"/proc/thread-self/net/{name}").read_text("ascii")

    def delete_and_look(index: int) -> dict[str, bool]:
        before = "cali0" in shown("route")
        node.links.delete([index])
        return {"before": before, **{name: "cali0" in shown(name) for name in ("dev", "route")}}

    for _ in range(5):
        index = add_pod(node, pod, "10.1.0.7")
        seen = node.do(partial(delete_and_look, index))
        assert seen == {"before": True, "dev": False, "route": False}
        assert node.do(partial(node.links.find, "cali0")) is None


def test_connections_of_an_address_are_forgotten_and_others_kept(
    node: Node, namespaces: Namespaces
) -> None:
    one, two = namespaces.create(), namespaces.create()
    add_pod(node, one, "10.1.0.7", "2001:db8:1::7", name="cali1")
    add_pod(node, two, "10.1.0.8", name="cali2")
    rules = "table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }"
    netns.run(node.namespace, "nft", rules)
    netns.run(one, "ping", "-c1", "-W1", "192.0.2.1")
    netns.run(one, "ping", "-c1", "-W1", "2001:db8::1")
    netns.run(two, "ping", "-c1", "-W1", "192.0.2.1")
    before = netns.run(node.namespace, "conntrack", "-L")
    before += netns.run(node.namespace, "conntrack", "-L", "-f", "ipv6")
    assert "src=10.1.0.7" in before
    assert "src=2001:db8:1::7" in before
    addresses = [ip_address("10.1.0.7"), ip_address("2001:db8:1::7"), ip_address("10.1.0.99")]
    node.do(lambda: node.links.forget_connections(addresses))
    after = netns.run(node.namespace, "conntrack", "-L")
    after += netns.run(node.namespace, "conntrack", "-L", "-f", "ipv6")
    assert "10.1.0.7" not in after
    assert "2001:db8:1::7" not in after
    assert "src=10.1.0.8" in after


def test_forgetting_connections_where_nothing_is_tracked_is_fine(node: Node) -> None:
    node.do(lambda: node.links.forget_connections([ip_address("10.1.0.7")]))
