"""The doctor on a real underlay: a healthy pair names nothing, each planted fault exactly itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.ctl.underlay import Underlay
from tests.support import netns
from tests.support.netns import Namespaces

pytestmark = [pytest.mark.root, pytest.mark.etcd]

CROSS = {"ipipMode": "CrossSubnet"}
VXLAN = {"vxlanMode": "Always"}


@pytest.fixture
def flat(tmp_path: Path, namespaces: Namespaces) -> Iterator[Underlay]:
    with Underlay(tmp_path, namespaces, flat=True) as made:
        yield made


@pytest.fixture
def routed(tmp_path: Path, namespaces: Namespaces) -> Iterator[Underlay]:
    with Underlay(tmp_path, namespaces, flat=False) as made:
        yield made


def sysctl(namespace: str, setting: str) -> None:
    netns.run(namespace, "sysctl", "-qw", setting)


def mounted(path: str, content: str) -> str:
    """A shell command that has a file of the host's say something else, for this run alone."""
    return f"echo {content} > /tmp/planted.$$ && mount --bind /tmp/planted.$$ {path} && rm -f /tmp/planted.$$"


@pytest.mark.parametrize("pool", [{}, CROSS, VXLAN])
def test_a_healthy_pair_on_one_subnet_names_nothing(flat: Underlay, pool: dict[str, str]) -> None:
    flat.pool(**pool)
    assert flat.problems(status=0) == []


@pytest.mark.parametrize("pool", [{}, CROSS, VXLAN])
def test_a_healthy_pair_behind_a_router_names_nothing(
    routed: Underlay, pool: dict[str, str]
) -> None:
    routed.pool(**pool)
    found = routed.doctor()
    assert (found["nodes"], found["findings"]) == (["node-1"], [])


def test_a_router_with_a_small_mtu_is_named_with_its_size(routed: Underlay) -> None:
    netns.ip("link", "set", "n2", "mtu", "1400", namespace=routed.middle)
    [finding] = routed.doctor(status=2)["findings"]
    assert (finding["problem"], finding["other"]) == ("path-mtu", "node-2")
    assert "1400 of 1500 answered; 10.0.1.1 says 1400" in finding["evidence"]


def test_a_path_that_swallows_large_packets_is_measured(flat: Underlay) -> None:
    netns.ip("link", "set", "eth0", "mtu", "1391", namespace=flat.nodes[2])
    [finding] = flat.doctor(status=2)["findings"]
    assert finding["problem"] == "path-mtu"
    assert "nobody says so" in finding["evidence"]


def test_a_tunnels_overhead_counts_on_the_path(routed: Underlay) -> None:
    """Pods with 1480 fit a path of 1480; in the tunnel they need 1500."""
    routed.pool(**CROSS)
    netns.ip("link", "set", "n2", "mtu", "1480", namespace=routed.middle)
    assert routed.problems() == ["path-mtu"]
    routed.put("felixconfigurations/default", "FelixConfiguration", {"ipipMTU": 1460})
    assert routed.problems(status=0) == []


def test_a_strict_uplink_is_named_where_there_are_tunnels_only(routed: Underlay) -> None:
    sysctl(routed.nodes[1], "net.ipv4.conf.eth0.rp_filter=1")
    assert routed.problems(status=0) == []
    routed.pool(**CROSS)
    [finding] = routed.doctor(status=2)["findings"]
    assert finding["problem"] == "rp-filter"
    assert finding["change"] == "sysctl -w net.ipv4.conf.eth0.rp_filter=2"
    netns.run(routed.nodes[1], "sh", "-c", finding["change"])
    assert routed.problems(status=0) == []


def test_a_strict_all_outweighs_a_link_that_filters_nothing(routed: Underlay) -> None:
    routed.pool(**VXLAN)
    sysctl(routed.nodes[1], "net.ipv4.conf.all.rp_filter=1")
    assert routed.problems() == ["rp-filter"]


def test_a_node_address_without_its_subnet_is_named(flat: Underlay) -> None:
    flat.pool(**CROSS)
    flat.put_node(1, "10.0.0.1/32")
    assert flat.problems() == ["prefix-length"]
    flat.pool()
    assert flat.problems(status=0) == ["prefix-length"]


def test_prefixes_that_disagree_are_named(flat: Underlay) -> None:
    flat.put_node(2, "10.0.0.2/31")
    assert flat.problems() == ["prefixes-disagree"]


def test_a_tiny_conntrack_table_is_named(flat: Underlay) -> None:
    planted = mounted("/proc/sys/net/netfilter/nf_conntrack_max", "512")
    assert flat.problems(before=planted) == ["conntrack"]


def test_neighbour_tables_that_are_too_small_are_named(flat: Underlay) -> None:
    neigh = "/proc/sys/net/ipv4/neigh"
    planted = (
        f"mount -t tmpfs t {neigh} && mkdir {neigh}/default && echo 1 > {neigh}/default/gc_thresh3"
    )
    [finding] = flat.doctor(status=2, before=planted)["findings"]
    assert finding["problem"] == "neighbours"
    assert "gc_thresh3=4096" in finding["change"]
    roomy = planted.replace("echo 1 ", "echo 1024 ")
    assert flat.problems(status=0, before=roomy) == []


def test_a_host_that_does_not_forward_is_named_once(flat: Underlay) -> None:
    sysctl(flat.nodes[1], "net.ipv4.ip_forward=0")
    assert flat.problems() == ["forwarding"]


def test_an_uplink_that_does_not_forward_is_named(flat: Underlay) -> None:
    sysctl(flat.nodes[1], "net.ipv4.conf.eth0.forwarding=0")
    [finding] = flat.doctor(status=2)["findings"]
    assert finding["problem"] == "forwarding"
    assert finding["change"] == "sysctl -w net.ipv4.conf.eth0.forwarding=1"


def test_a_machine_with_this_nodes_address_is_named_by_its_mac(
    flat: Underlay, namespaces: Namespaces
) -> None:
    thief = namespaces.create()
    flat.attach("thief", thief)
    netns.address(thief, "eth0", "10.0.0.1/24")
    [link] = netns.ip_json("link", "show", "eth0", namespace=thief)
    [finding] = flat.doctor(status=2)["findings"]
    assert finding["problem"] == "duplicate-address"
    assert link["address"] in finding["evidence"]


def test_two_nodes_with_one_address_in_etcd_are_named(flat: Underlay) -> None:
    flat.put_node(3, "10.0.0.1/24")
    [finding] = flat.doctor(status=2)["findings"]
    assert (finding["problem"], finding["other"]) == ("duplicate-address", "node-3")


def test_a_node_that_does_not_answer_is_named(flat: Underlay) -> None:
    netns.ip("link", "set", "eth0", "down", namespace=flat.nodes[2])
    assert flat.problems() == ["no-answer"]


def test_a_node_address_that_is_on_no_link_is_named(flat: Underlay) -> None:
    flat.put_node(1, "10.0.0.77/24")
    assert flat.problems() == ["node-address"]


def test_answers_that_come_another_way_are_told(flat: Underlay) -> None:
    netns.ip("route", "add", "10.0.0.1/32", "via", "10.0.0.254", namespace=flat.nodes[2])
    [finding] = flat.doctor()["findings"]
    assert finding["problem"] == "asymmetric"
    assert "pass 1 routers" in finding["evidence"]


def test_several_ways_that_one_connection_each_cannot_share_are_told(routed: Underlay) -> None:
    netns.address(routed.middle, "n1", "10.0.1.3/24")
    hops = ("nexthop", "via", "10.0.1.1", "nexthop", "via", "10.0.1.3")
    netns.ip("route", "replace", "default", *hops, namespace=routed.nodes[1])
    sysctl(routed.nodes[1], "net.ipv4.fib_multipath_hash_policy=0")
    [finding] = routed.doctor()["findings"]
    assert finding["problem"] == "ecmp-hash"
    sysctl(routed.nodes[1], "net.ipv4.fib_multipath_hash_policy=1")
    assert routed.problems(status=0) == []


def test_nodes_whose_pods_differ_in_size_are_told(flat: Underlay) -> None:
    for number, size in ((1, 1500), (2, 9000)):
        document = {"daemon": "felix", "mtu": {"pod": size}}
        flat.put_raw(f"/felix-py/v1/nodes/node-{number}/status/felix", document)
    assert flat.problems(status=0) == ["mtu"]


def test_other_nodes_are_looked_at_by_the_way_that_is_named(routed: Underlay) -> None:
    via = ("--via", routed.way_to_others())
    found = routed.doctor(*via)
    assert (found["nodes"], found["findings"], found["unseen"]) == (["node-1", "node-2"], [], {})
    sysctl(routed.nodes[2], "net.ipv4.ip_forward=0")
    [finding] = routed.doctor(*via, status=2)["findings"]
    assert (finding["problem"], finding["node"]) == ("forwarding", "node-2")


def test_a_node_that_cannot_be_looked_at_is_told_and_the_rest_is_judged(flat: Underlay) -> None:
    found = flat.doctor("--via", "false {node}")
    assert list(found["unseen"]) == ["node-2"]
    assert found["nodes"] == ["node-1"]


def test_only_the_ways_to_the_named_nodes_are_looked_at(flat: Underlay) -> None:
    flat.put_node(3, "10.0.0.3/24")
    assert flat.problems() == ["no-answer"]
    assert flat.problems("node-2", status=0) == []
