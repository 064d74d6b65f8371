"""felix as a process: its tables follow etcd, and come back while traffic goes on."""

from __future__ import annotations

import json
import time

import pytest

from tests.functional.agent.felix_node import NODE, FelixNode
from tests.support import netns
from tests.support.netns import Namespaces
from tests.support.pinger import Pinger

pytestmark = [pytest.mark.root, pytest.mark.etcd]

LINK = "cali0000000001"
POD, POOL, HOST, OUTSIDE = "10.244.0.7", "10.244.0.0/16", "192.168.50.11", "192.168.50.99"
REPAIR_SECONDS = 1.0


@pytest.fixture
def pod(node: FelixNode, namespaces: Namespaces) -> str:
    """A pod and an outside host that has no route to it; felix runs. The pod's namespace."""
    inside, outside = namespaces.create(), namespaces.create()
    node.ip("link", "del", "eth0")
    netns.veth((node.namespace, "eth0"), (outside, "eth0"))
    netns.address(node.namespace, "eth0", f"{HOST}/24")
    netns.address(outside, "eth0", f"{OUTSIDE}/24")
    netns.veth((node.namespace, LINK), (inside, "eth0"))
    node.ip("link", "set", LINK, "alias", "k8s-pod-network.c1")
    netns.address(inside, "eth0", f"{POD}/32")
    netns.ip("route", "add", "169.254.1.1", "dev", "eth0", namespace=inside)
    netns.ip("route", "add", "default", "via", "169.254.1.1", "dev", "eth0", namespace=inside)
    mac = str(netns.ip_json("link", "show", LINK, namespace=node.namespace)[0]["address"])
    netns.ip("neigh", "add", "169.254.1.1", "lladdr", mac, "dev", "eth0", namespace=inside)
    node.put_resource("ippools/p", "IPPool", {"cidr": POOL, "blockSize": 26, "natOutgoing": True})
    node.start()
    node.put_endpoint("a", f"{POD}/32", link=LINK)
    node.until(lambda: node.route(POD))
    return inside


def elements(node: FelixNode, name: str) -> list[object]:
    """One set's elements, as nft tells; nothing where there is no table."""
    text = netns.run(
        node.namespace, "nft", "-j", "list", "set", "inet", "felix-py", name, check=False
    )
    found = json.loads(text)["nftables"] if text else []
    return [each for entry in found for each in entry.get("set", {}).get("elem", [])]


def pings(namespace: str) -> bool:
    return netns.succeeds(namespace, "ping", "-n", "-c", "1", "-W", "2", OUTSIDE)


def test_a_pod_reaches_the_world_and_a_flush_by_others_is_repaired_within_a_second(
    node: FelixNode, pod: str
) -> None:
    node.until(lambda: elements(node, "pod-sources4"))
    assert pings(pod)
    with Pinger(pod, OUTSIDE) as stream:
        node.until(lambda: stream.count_so_far() > 20, 10)
        for _ in range(3):
            netns.run(node.namespace, "nft", "flush", "ruleset")
            assert node.until(lambda: elements(node, "pod-sources4")) < REPAIR_SECONDS
            assert pings(pod), "a new connection"
            time.sleep(0.3)
        count = stream.stop()
    assert len(count.missing) < 3 * 100 * REPAIR_SECONDS, str(count)
    assert node.status["filter"]["stands"]
    assert node.status["filter"]["repaired"] >= 3


def test_pools_nodes_and_configuration_are_followed(node: FelixNode, pod: str) -> None:
    node.until(lambda: elements(node, "nat-pools4"))
    node.put_resource("ippools/p", "IPPool", {"cidr": POOL, "blockSize": 26})
    node.until(lambda: not elements(node, "nat-pools4"))
    assert not pings(pod), "the outside host knows no way to the pod"
    node.put_resource(
        "ippools/q",
        "IPPool",
        {"cidr": "10.245.0.0/16", "blockSize": 26, "vxlanMode": "Always"},
    )
    node.put_resource("nodes/w2", "Node", {"bgp": {"ipv4Address": "192.168.50.12/24"}})
    node.put_resource("felixconfigurations/default", "FelixConfiguration", {"vxlanPort": 8472})
    node.until(lambda: "192.168.50.12" in elements(node, "nodes4"))
    table = ("nft", "list", "table", "inet", "felix-py")
    # From pods, and to the host itself.
    node.until(lambda: netns.run(node.namespace, *table).count("udp dport 8472") == 2)
    assert node.resource(f"nodes/{NODE}") is not None


def test_with_felix_dead_the_tables_go_on_and_a_new_one_takes_them_over(
    node: FelixNode, pod: str
) -> None:
    node.until(lambda: elements(node, "pod-sources4"))
    node.stop()
    assert pings(pod)
    node.start()
    node.until(lambda: node.status.get("filter", {}).get("stands"))
    assert node.status["filter"]["repaired"] == 0
    assert pings(pod)
