"""Felix as a process: real etcd, real kernel, in a namespace of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from tests.functional.agent.felix_node import FelixNode
from tests.support import netns

pytestmark = [pytest.mark.root, pytest.mark.etcd]

POD = "10.244.0.7"
LINK = "cali0000000001"
REPAIR_SECONDS = 1.0


def running_pod(node: FelixNode) -> str:
    """Felix runs and one pod has its route; the endpoint's key."""
    node.pod_link(LINK)
    node.start()
    key = node.put_endpoint("a", f"{POD}/32", link=LINK)
    node.until(lambda: node.route(POD))
    return key


def test_an_endpoint_gets_its_route_and_loses_it_with_the_endpoint(node: FelixNode) -> None:
    key = running_pod(node)
    route = node.route(POD)
    assert route is not None
    assert (route["dev"], route["protocol"], route["metric"], route["scope"]) == (
        LINK,
        "80",
        1024,
        "link",
    )
    node.ctl("del", key)
    node.until(lambda: node.route(POD) is None)


def test_an_ipv6_endpoint_gets_its_route(node: FelixNode) -> None:
    node.pod_link(LINK)
    node.start()
    node.put_endpoint("a", "fd00::7/128", link=LINK)
    node.until(lambda: node.route("fd00::7"))
    route = node.route("fd00::7")
    assert route is not None
    assert (route["dev"], route["protocol"], route["metric"]) == (LINK, "80", 1024)
    node.until(lambda: node.sysctl("ipv6/conf/all/forwarding") == "1")
    assert node.sysctl(f"ipv6/conf/{LINK}/accept_ra") == "0"


def test_an_uplink_takes_its_first_router_advertisement_after_forwarding_is_on(
    node: FelixNode,
) -> None:
    """At boot the router may speak later than felix; IPv4 tells which link is the uplink."""
    assert node.sysctl("ipv6/conf/eth0/accept_ra") == "1"
    assert not node.ip("-6", "route", "show", "default")
    node.pod_link(LINK)
    node.start()
    node.put_endpoint("a", "fd00::7/128", link=LINK)
    node.until(lambda: node.sysctl("ipv6/conf/all/forwarding") == "1")
    assert node.sysctl("ipv6/conf/eth0/accept_ra") == "2"
    assert node.sysctl("ipv6/conf/tor0/accept_ra") == "1"


def test_a_deleted_or_changed_route_is_put_right_within_a_second(node: FelixNode) -> None:
    running_pod(node)
    node.ip("route", "del", POD)
    assert node.until(lambda: node.route(POD)) < REPAIR_SECONDS
    node.ip("route", "replace", POD, "dev", "eth0", "proto", "80", "metric", "1024")
    assert node.until(lambda: (node.route(POD) or {}).get("dev") == LINK) < REPAIR_SECONDS


def test_a_link_that_flaps_gets_its_route_back_within_a_second(node: FelixNode) -> None:
    running_pod(node)
    node.ip("link", "set", LINK, "down")
    node.ip("link", "set", LINK, "up")
    assert node.until(lambda: node.route(POD)) < REPAIR_SECONDS
    node.ip("link", "set", LINK, "down")
    assert node.until(lambda: node.route(POD)) < REPAIR_SECONDS


def test_settings_that_netlink_announces_are_put_right_within_a_second(node: FelixNode) -> None:
    running_pod(node)
    paths = {
        f"ipv4/conf/{LINK}/forwarding": "1",
        f"ipv4/conf/{LINK}/proxy_arp": "1",
        f"ipv4/conf/{LINK}/rp_filter": "1",
        "ipv4/ip_forward": "1",
    }
    for path, wanted in paths.items():
        node.until(lambda path=path, wanted=wanted: node.sysctl(path) == wanted)  # type: ignore[misc]
        node.set_sysctl(path, "0")
        took = node.until(lambda path=path, wanted=wanted: node.sysctl(path) == wanted)  # type: ignore[misc]
        assert took < REPAIR_SECONDS, path
    assert node.sysctl(f"ipv4/conf/{LINK}/route_localnet") == "0"


def test_settings_that_netlink_hides_are_put_right_within_ten_seconds(node: FelixNode) -> None:
    running_pod(node)
    delay, localnet = f"ipv4/neigh/{LINK}/proxy_delay", f"ipv4/conf/{LINK}/route_localnet"
    node.until(lambda: node.sysctl(delay) == "0")
    node.set_sysctl(delay, "80")
    node.set_sysctl(localnet, "1")
    assert node.until(lambda: node.sysctl(delay) == "0", 11) < 10
    assert node.until(lambda: node.sysctl(localnet) == "0", 11) < 10


def test_another_owners_route_at_our_key_is_reported_and_never_overwritten(node: FelixNode) -> None:
    node.pod_link(LINK)
    node.ip("route", "add", POD, "dev", "eth0", "proto", "static", "metric", "1024")
    node.start()
    node.put_endpoint("a", f"{POD}/32", link=LINK)
    node.until(lambda: node.status["routes"]["foreign"])
    assert node.status["routes"]["foreign"][0]["prefix"] == f"{POD}/32"
    time.sleep(1.5)
    route = node.route(POD)
    assert route is not None
    assert (route["dev"], route["protocol"]) == ("eth0", "static")
    node.ip("route", "del", POD, "proto", "static")
    assert node.until(lambda: (node.route(POD) or {}).get("dev") == LINK) < REPAIR_SECONDS


def test_routes_without_our_mark_are_left_alone(node: FelixNode) -> None:
    node.ip("route", "add", "10.99.0.0/16", "dev", "eth0", "proto", "static")
    node.ip("route", "add", "10.98.0.0/16", "dev", "eth0", "proto", "81", "metric", "1025")
    running_pod(node)
    assert node.route("10.99.0.0/16")
    assert node.route("10.98.0.0/16")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_adopts_what_is_there_without_touching_it(
    node: FelixNode, number: signal.Signals
) -> None:
    running_pod(node)
    node.add_block("10.244.0.64/26")
    node.until(lambda: node.route("10.244.0.64/26"))
    status = node.stop(number)
    assert status == (0 if number is signal.SIGTERM else -9)
    with subprocess.Popen(
        netns.command(node.namespace, "ip", "monitor", "route"), stdout=subprocess.PIPE
    ) as monitor:
        try:
            node.start()
            node.until(lambda: node.status["routes"]["installed"] == 2)
            node.ip("route", "add", "203.0.113.1/32", "dev", "eth0")
            time.sleep(0.5)
        finally:
            monitor.terminate()
        assert monitor.stdout is not None
        seen = monitor.stdout.read().decode()
    assert "203.0.113.1" in seen, "the monitor itself does not work"
    assert POD not in seen
    assert "10.244.0.64" not in seen


def test_an_orphan_with_our_mark_goes_after_a_while(node: FelixNode) -> None:
    node.pod_link(LINK)
    node.ip("route", "add", POD, "dev", LINK, "proto", "80", "metric", "1024", "scope", "link")
    node.start()
    node.until(lambda: node.status["routes"]["unexplained"] == [f"{POD}/32"])
    assert node.route(POD)
    node.until(lambda: node.route(POD) is None, 15)


def test_a_route_that_cni_wrote_before_we_heard_of_the_pod_is_adopted(node: FelixNode) -> None:
    node.pod_link(LINK)
    node.start()
    node.ip("route", "add", POD, "dev", LINK, "proto", "80", "metric", "1024", "scope", "link")
    node.until(lambda: node.status["routes"]["unexplained"])
    with subprocess.Popen(
        netns.command(node.namespace, "ip", "monitor", "route"), stdout=subprocess.PIPE
    ) as monitor:
        node.put_endpoint("a", f"{POD}/32", link=LINK)
        node.until(lambda: node.status["routes"]["installed"] == 1)
        monitor.terminate()
        assert monitor.stdout is not None
        assert POD not in monitor.stdout.read().decode()


def test_only_blocks_that_are_ours_and_confirmed_are_blackholed(node: FelixNode) -> None:
    node.start()
    node.add_block("10.244.0.64/26")
    node.add_block("10.244.0.128/26", state="pending")
    node.add_block("10.244.0.192/26", owner="worker-2")
    node.until(lambda: node.route("10.244.0.64/26"))
    route = node.route("10.244.0.64/26")
    assert route is not None
    assert (route["type"], route["protocol"], route["metric"]) == ("blackhole", "80", 1024)
    assert node.route("10.244.0.128/26") is None
    assert node.route("10.244.0.192/26") is None
    node.add_block("10.244.0.64/26", state="pendingDeletion")
    node.until(lambda: node.route("10.244.0.64/26") is None)


def test_a_link_of_another_container_gets_no_route(node: FelixNode) -> None:
    node.pod_link(LINK, "k8s-pod-network.old")
    node.start()
    node.put_endpoint("a", f"{POD}/32", link=LINK, container="new")
    node.until(lambda: node.status["endpoints"] == 1)
    time.sleep(0.5)
    assert node.route(POD) is None
    node.ip("link", "set", LINK, "alias", "k8s-pod-network.new")
    node.until(lambda: node.route(POD))


def test_an_invalid_endpoint_is_named_and_disturbs_nothing(node: FelixNode) -> None:
    key = running_pod(node)
    node.put_endpoint("b", "10.244.0.8/24", link="cali0000000002")
    node.until(lambda: node.status["invalid"])
    assert "ipNetworks" in node.status["invalid"][0]["reason"]
    assert node.status["invalid"][0]["key"] != key
    assert node.route(POD)


def test_an_etcd_that_was_wiped_takes_nothing_away(node: FelixNode) -> None:
    running_pod(node)
    node.inside(node.etcd.wipe)
    node.until(lambda: node.status["store"]["frozen"], 10)
    time.sleep(1.0)
    assert node.route(POD)
    node.ip("route", "del", POD)
    assert node.until(lambda: node.route(POD)) < REPAIR_SECONDS
    node.stop()
    node.start(wait=False)
    time.sleep(3)
    assert node.route(POD)


def test_a_live_pod_whose_endpoint_an_accepted_store_lacks_keeps_its_route(
    node: FelixNode,
) -> None:
    """Its link and record stand; a fresh felix decides the same, and a dead pod leaves nothing."""
    records = node.directory / "run" / "endpoints"
    records.mkdir(parents=True)
    handle = "k8s-pod-network.c1"
    record = {"hostLink": LINK, "handle": handle, "addresses": [POD], "pod": "a", "namespace": "n"}
    (records / f"{LINK}.json").write_text(json.dumps(record))
    node.ctl("del", running_pod(node))
    time.sleep(1.0)
    assert node.route(POD)
    node.until(lambda: [each["pod"] for each in node.status["unregistered"]] == ["n/a"], 10)
    node.stop()
    node.start()
    node.ip("route", "del", POD)
    assert node.until(lambda: node.route(POD)) < REPAIR_SECONDS
    node.ip("link", "del", LINK)
    node.until(lambda: not node.status["unregistered"])
    assert node.route(POD) is None


def test_with_etcd_away_the_last_state_is_kept_up(node: FelixNode) -> None:
    running_pod(node)
    node.inside(node.etcd.kill)
    node.until(lambda: not node.status["store"]["connected"], 10)
    node.ip("route", "del", POD)
    assert node.until(lambda: node.route(POD)) < REPAIR_SECONDS
    node.inside(node.etcd.start)
    node.pod_link("cali0000000002", "k8s-pod-network.c2")
    node.put_endpoint("b", "10.244.0.8/32", link="cali0000000002", container="c2")
    node.until(lambda: node.route("10.244.0.8"), 10)


def test_nothing_is_done_before_clusterinformation_is_there(node: FelixNode) -> None:
    node.ctl("del", "/calico/resources/v3/projectcalico.org/clusterinformations/default")
    node.pod_link(LINK)
    node.put_endpoint("a", f"{POD}/32", link=LINK)
    node.start(wait=False)
    node.until(lambda: node.status.get("store", {}).get("frozen"), 10)
    assert node.route(POD) is None
    assert node.resource("nodes/worker-1") is None
