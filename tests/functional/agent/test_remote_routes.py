"""Routes to other nodes that felix writes: from etcd alone, and handed over between it and BGP, both ways."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from tests.functional.agent.felix_node import IPAM, NODE, RESOURCES, FelixNode

pytestmark = [pytest.mark.root, pytest.mark.etcd]

NEAR, FAR = "10.244.1.0/26", "10.244.2.0/26"
BORROWED = "10.244.1.5"
POOL = {"cidr": "10.244.0.0/16", "blockSize": 26}


def cluster(node: FelixNode, **pool: object) -> None:
    """A node on our subnet that has NEAR, one behind the router that has FAR and one address of NEAR."""
    node.put_resource("ippools/pods", "IPPool", {**POOL, **pool})
    for name, address, cidr in (
        ("near", "192.168.50.12/24", NEAR),
        ("far", "192.168.60.13/24", FAR),
    ):
        node.put_resource(f"nodes/{name}", "Node", {"bgp": {"ipv4Address": address}})
        node.put_block(cidr, name, {5: {"node": "far"}} if cidr == NEAR else {})


def felix_programs(node: FelixNode, word: str) -> None:
    node.put_resource(
        "felixconfigurations/default", "FelixConfiguration", {"programClusterRoutes": word}
    )


def routes(node: FelixNode, protocol: str = "80") -> dict[str, dict[str, Any]]:
    found = json.loads(node.ip("-j", "route", "show", "proto", protocol) or "[]")
    return {route["dst"]: route for route in found if route.get("type") != "blackhole"}


def warned(node: FelixNode, text: str) -> bool:
    return any(text in warning for warning in node.status.get("warnings", []))


def test_without_bgp_a_node_of_the_subnet_is_reached_directly_and_a_far_one_not(
    node: FelixNode,
) -> None:
    node.backend = "none"
    cluster(node)
    node.start()
    node.until(lambda: NEAR in routes(node))
    route = routes(node)[NEAR]
    assert (route["gateway"], route["dev"], route["metric"]) == ("192.168.50.12", "eth0", 1024)
    assert routes(node).keys() == {NEAR}
    node.until(lambda: warned(node, "far"))


def test_a_borrowed_address_goes_to_its_node_and_back_with_its_block(node: FelixNode) -> None:
    node.backend = "none"
    cluster(node)
    node.put_resource("nodes/far", "Node", {"bgp": {"ipv4Address": "192.168.50.13/24"}})
    node.start()
    node.until(lambda: routes(node).keys() == {NEAR, FAR, BORROWED})
    assert routes(node)[BORROWED]["gateway"] == "192.168.50.13"
    node.put_block(NEAR, "near")
    node.until(lambda: routes(node).keys() == {NEAR, FAR})


def test_a_node_that_moves_takes_its_routes_along_and_a_deleted_one_loses_them(
    node: FelixNode,
) -> None:
    node.backend = "none"
    cluster(node)
    node.start()
    node.until(lambda: NEAR in routes(node))
    node.put_resource("nodes/near", "Node", {"bgp": {"ipv4Address": "192.168.50.99/24"}})
    node.until(lambda: routes(node)[NEAR]["gateway"] == "192.168.50.99")
    node.ctl("del", f"{RESOURCES}nodes/near")
    node.until(lambda: NEAR not in routes(node))


def test_a_deleted_or_stray_route_is_put_right(node: FelixNode) -> None:
    node.backend = "none"
    cluster(node)
    node.start()
    node.until(lambda: NEAR in routes(node))
    node.ip("route", "del", NEAR)
    assert node.until(lambda: NEAR in routes(node)) < 1.0
    stray = "10.244.77.0/26"
    node.ip("route", "add", stray, "via", "192.168.50.12", "metric", "1024", "proto", "80")
    node.until(lambda: stray not in routes(node), 20)


def test_with_bgp_felix_writes_none_of_them(node: FelixNode) -> None:
    cluster(node)
    node.start()
    node.put_block("10.244.9.0/26", NODE)
    node.until(lambda: "10.244.9.0/26" in node.status["blocks"])
    assert routes(node) == {}


def test_routes_are_handed_to_felix_and_back_only_when_bgps_stand(node: FelixNode) -> None:
    cluster(node)
    node.start()
    felix_programs(node, "Enabled")
    node.until(lambda: NEAR in routes(node))
    felix_programs(node, "Disabled")
    node.until(lambda: node.status["routes"]["waitingForBgp"] == [NEAR])
    assert NEAR in routes(node)
    node.ip("route", "add", NEAR, "via", "192.168.50.12", "metric", "1025", "proto", "81")
    node.until(lambda: NEAR not in routes(node))
    assert routes(node, "81").keys() == {NEAR}
    assert node.status["routes"]["waitingForBgp"] == []


def test_a_fresh_felix_waits_for_bgp_as_the_one_before_did(node: FelixNode) -> None:
    cluster(node)
    felix_programs(node, "Enabled")
    node.start()
    node.until(lambda: NEAR in routes(node))
    node.stop(signal.SIGKILL)
    felix_programs(node, "Disabled")
    node.start()
    node.until(lambda: node.status["routes"]["waitingForBgp"] == [NEAR], 20)
    assert NEAR in routes(node)
    node.ctl("del", f"{IPAM}assignment/ipv4/block/{NEAR.replace('/', '-')}")
    node.until(lambda: NEAR not in routes(node))


def test_a_tunnel_is_used_when_both_ends_have_published_it(node: FelixNode) -> None:
    node.backend = "vxlan"
    cluster(node, vxlanMode="CrossSubnet")
    tunnel = {"node": NODE, "type": "vxlanTunnelAddress"}
    node.put_block("10.244.9.0/26", NODE, {3: tunnel})
    node.start()
    node.until(
        lambda: (node.resource(f"nodes/{NODE}") or {}).get("spec", {}).get("ipv4VXLANTunnelAddr")
    )
    assert FAR not in routes(node)
    node.until(lambda: warned(node, "far has not published"))
    vtep = {"ipv4VXLANTunnelAddr": "10.244.2.1", "vxlanTunnelMACAddr": "66:00:00:00:00:01"}
    node.put_resource("nodes/far", "Node", {"bgp": {"ipv4Address": "192.168.60.13/24"}, **vtep})
    node.until(lambda: FAR in routes(node))
    route = routes(node)[FAR]
    assert (route["gateway"], route["dev"], route["flags"]) == (
        "10.244.2.1",
        "vxlan.calico",
        ["onlink"],
    )
    assert routes(node)[NEAR]["dev"] == "eth0"
    node.until(lambda: not warned(node, "far has not published"))


def test_after_an_accepted_store_other_nodes_have_time_to_put_their_blocks_back(
    node: FelixNode,
) -> None:
    node.backend = "none"
    cluster(node)
    node.start()
    node.until(lambda: NEAR in routes(node))
    node.ctl("del", "--prefix", f"{RESOURCES}clusterinformations/")
    node.until(lambda: node.status["store"]["frozen"])
    node.ctl("del", "--prefix", IPAM)
    other = {"clusterGUID": "a" * 32, "clusterType": "bgp", "datastoreReady": True}
    node.put_resource("clusterinformations/default", "ClusterInformation", other)
    node.put("/felix-py/v1/accepted", {"clusterGUID": "a" * 32, "nonce": "n"})
    node.until(lambda: node.status["store"]["frozen"] is None, 10)
    time.sleep(2)
    assert NEAR in routes(node)
    node.put_block(NEAR, "near")
    node.until(lambda: node.status["routes"]["unexplained"] == [])
    assert NEAR in routes(node)
