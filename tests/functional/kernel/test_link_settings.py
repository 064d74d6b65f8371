"""The settings driver on the real kernel."""

from __future__ import annotations

import errno

import pytest

from felix_py.kernel.link_settings import LinkSettingsDriver
from felix_py.kernel.model import LinkSettings
from felix_py.kernel.pyroute2_kernel import Pyroute2Kernel
from tests.functional.kernel.conftest import Host
from tests.support import netns
from tests.support.faulty import Fault, Faulty

pytestmark = pytest.mark.root

WISH = LinkSettings(
    forwarding4=True,
    proxy_arp=True,
    rp_filter=1,
    forwarding6=True,
    route_localnet=True,
    proxy_delay=0,
    proxy_ndp=True,
    accept_ra=0,
)


def read(host: Host, name: str) -> str:
    return netns.run(host.namespace, "sysctl", "-n", f"net.{name}").strip()


def write(host: Host, name: str, value: int) -> None:
    netns.run(host.namespace, "sysctl", "-qw", f"net.{name}={value}")


def test_every_setting_is_made_as_wished(host: Host, kernel: Pyroute2Kernel) -> None:
    driver = LinkSettingsDriver(kernel)
    driver.want({"up0": WISH, "not-there": WISH})
    assert driver.apply(kernel.links(), sweep=False) == {}
    assert kernel.read_settings("up0") == WISH
    assert read(host, "ipv4.neigh.up0.proxy_delay") == "0"
    assert read(host, "ipv4.conf.up1.proxy_arp") == "0"


def test_what_the_list_tells_is_put_right_at_once_and_the_rest_by_a_sweep(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    driver = LinkSettingsDriver(kernel)
    driver.want({"up0": WISH})
    driver.apply(kernel.links(), sweep=False)
    write(host, "ipv4.conf.up0.proxy_arp", 0)
    write(host, "ipv6.conf.up0.accept_ra", 1)
    write(host, "ipv4.neigh.up0.proxy_delay", 80)
    assert driver.apply(kernel.links(), sweep=False) == {}
    assert read(host, "ipv4.conf.up0.proxy_arp") == "1"
    assert read(host, "ipv6.conf.up0.accept_ra") == "0"
    assert read(host, "ipv4.neigh.up0.proxy_delay") == "80"
    assert driver.apply(kernel.links(), sweep=True) == {}
    assert read(host, "ipv4.neigh.up0.proxy_delay") == "0"


def test_what_stands_is_not_written_again(host: Host, kernel: Pyroute2Kernel) -> None:
    faulty = Faulty(kernel)
    driver = LinkSettingsDriver(faulty)
    driver.want({"up0": WISH})
    driver.apply(kernel.links(), sweep=False)
    faulty.calls.clear()
    driver.apply(kernel.links(), sweep=True)
    assert faulty.calls == {"read_settings": 1}


def test_a_refusal_is_answered_and_the_next_apply_puts_it_right(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    driver = LinkSettingsDriver(Faulty(kernel, [Fault("write_settings", "refuse", errno=13)]))
    driver.want({"up0": WISH, "up1": WISH})
    refused = driver.apply(kernel.links(), sweep=False)
    assert [error.errno for error in refused.values()] == [errno.EACCES]
    assert driver.apply(kernel.links(), sweep=False) == {}
    assert kernel.read_settings("up0") == kernel.read_settings("up1") == WISH


def test_a_link_that_vanished_since_the_list_disturbs_no_other(
    host: Host, kernel: Pyroute2Kernel
) -> None:
    listed = kernel.links()
    driver = LinkSettingsDriver(kernel)
    netns.ip("link", "del", "up1", namespace=host.namespace)
    driver.want({"up1": WISH, "up0": WISH})
    driver.apply(listed, sweep=False)
    assert kernel.read_settings("up0") == WISH
