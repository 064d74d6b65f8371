"""Both ends of a pod's link, found by what the kernel says and set to one MTU."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import VethSpec
from felix_py.kernel.ownership import HOST_MAC
from felix_py.kernel.pod_links import NetlinkPodLinks
from felix_py.kernel.veth_peer import PairMtu, pair_of
from tests.support import netns
from tests.support.netns import Namespaces

pytestmark = pytest.mark.root

ALIAS = "net.c1"


class Pod:
    """A node and a pod, the pair between them."""

    def __init__(self, namespaces: Namespaces, link: str = "cali1", mtu: int = 1500) -> None:
        self.node, self.pod, self.link = namespaces.create(), namespaces.create(), link
        self.add(self.pod, link, mtu)

    def add(self, pod: str, link: str, mtu: int = 1500) -> None:
        descriptor = os.open(netns.path(pod), os.O_RDONLY)

        def make() -> None:
            links = NetlinkPodLinks()
            spec = VethSpec(link, "eth0", ALIAS, mtu, HOST_MAC)
            links.create(spec, descriptor)
            links.close()

        netns.call(self.node, make)
        os.close(descriptor)

    def ends(self) -> tuple[int, int]:
        """The MTU of both ends as iproute2 shows them."""
        [host] = netns.ip_json("link", "show", self.link, namespace=self.node)
        [pod] = netns.ip_json("link", "show", "eth0", namespace=self.pod)
        return host["mtu"], pod["mtu"]

    def set_mtu(self, mtu: int, path: str, alias: str = ALIAS) -> PairMtu:
        """What both ends had."""

        def change() -> PairMtu:
            with pair_of(self.link, alias, path) as pair:
                pair.set_mtu(mtu)
                return pair.mtu

        return netns.call(self.node, change)


@pytest.fixture
def pod(namespaces: Namespaces) -> Pod:
    return Pod(namespaces)


def refused(call: Callable[[], object]) -> int:
    with pytest.raises(KernelRefused) as found:
        call()
    return found.value.errno


@pytest.mark.parametrize("mtu", [1480, 9000])
def test_both_ends_get_one_mtu(pod: Pod, mtu: int) -> None:
    assert pod.set_mtu(mtu, str(netns.path(pod.pod))) == PairMtu(1500, 1500)
    assert pod.ends() == (mtu, mtu)


def test_a_namespace_that_moved_is_found_among_the_named_ones(pod: Pod) -> None:
    pod.set_mtu(1480, "/var/run/netns/gone")
    assert pod.ends() == (1480, 1480)


def test_a_path_that_leads_to_another_pod_is_not_followed(pod: Pod, namespaces: Namespaces) -> None:
    other = namespaces.create()
    pod.add(other, "cali2")
    pod.set_mtu(1480, str(netns.path(other)))
    assert pod.ends() == (1480, 1480)
    [untouched] = netns.ip_json("link", "show", "eth0", namespace=other)
    assert untouched["mtu"] == 1500


def test_a_path_that_is_no_namespace_is_passed_over(pod: Pod, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    pod.set_mtu(1480, str(file))
    assert pod.ends() == (1480, 1480)


def test_a_namespace_that_nobody_can_name_is_refused_and_nothing_changed(pod: Pod) -> None:
    holder = os.open(netns.path(pod.pod), os.O_RDONLY)
    netns.delete(pod.pod)
    try:
        assert refused(lambda: pod.set_mtu(1480, "/var/run/netns/gone")) == errno.ESRCH
        [host] = netns.ip_json("link", "show", pod.link, namespace=pod.node)
        assert host["mtu"] == 1500
    finally:
        os.close(holder)


def test_a_link_of_another_container_is_refused(pod: Pod) -> None:
    path = str(netns.path(pod.pod))
    assert refused(lambda: pod.set_mtu(1480, path, alias="net.c2")) == errno.ENODEV
    assert pod.ends() == (1500, 1500)


def test_a_size_that_the_kernel_refuses_changes_neither_end(pod: Pod) -> None:
    assert refused(lambda: pod.set_mtu(10, str(netns.path(pod.pod)))) == errno.EINVAL
    assert pod.ends() == (1500, 1500)
