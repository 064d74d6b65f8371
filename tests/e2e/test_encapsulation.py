"""What travels between racks and out, seen on the ToRs and on the host outside; pools changed under pings."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from felix_py.lab import inventory, kernel_view
from felix_py.lab.topology import Resource
from tests.e2e.conftest import Labs
from tests.e2e.kills import counted
from tests.support.capture import Capture
from tests.support.lab import Lab, eventually, in_netns
from tests.support.pinger import Pinger

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(300)]

VXLAN = "udp port 4789"
VNI = "vni 4096"
PINGS_PER_SECOND = 40
SETTLE_SECONDS = 30.0
"""Each step of a change may take so long until the kernels choose the ways that the pools say."""
HOLD_SECONDS = 3.0
"""Pings go on for so long after a step."""
INTERNET = "203.0.113.10"
REQUEST = re.compile(r"(\S+) > \S+: ICMP echo request")


@pytest.fixture(scope="module")
def vxlan(labs: Labs) -> Lab:
    return labs.get("vxlan")


@pytest.fixture(scope="module")
def routed(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Both families by BGP, ToRs that know the pods, and a host outside that goes by what they know."""
    source = Path(__file__).parents[2] / "felix_py/lab/topologies/dual-stack.yaml"
    document = yaml.safe_load(source.read_text())
    document["podsPerNode"] = 1
    document["outsides"] = [
        {"name": "internet", "tor": "tor-a", "subnet": "203.0.113.0/24", "knowsPods": True}
    ]
    topology = tmp_path_factory.mktemp("routed") / "routed.yaml"
    topology.write_text(yaml.safe_dump(document))
    return labs.get(str(topology))


def pod_on(lab: Lab, node: str) -> dict[str, Any]:
    return lab.pods(node)[0]


def ping(source: dict[str, Any], address: str) -> None:
    """Five, all answered."""
    in_netns(source["netns"], "ping", "-n", "-c", "5", "-i", "0.1", "-W", "5", address)


@contextmanager
def captures(lab: Lab, *wanted: tuple[str, str, str]) -> Iterator[list[Capture]]:
    """(machine, interface, expression) each."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Capture(lab.home.netns(machine), interface, expression))
            for machine, interface, expression in wanted
        ]


@pytest.mark.parametrize("key", ["address", "address6"])
def test_between_racks_pings_travel_in_vxlan_with_our_vni_and_nothing_travels_bare(
    vxlan: Lab, key: str
) -> None:
    source, target = pod_on(vxlan, "node-a1"), pod_on(vxlan, "node-b1")
    bare = f"(icmp or icmp6) and host {target[key]}"
    with captures(vxlan, ("tor-a", "tor-b", VXLAN), ("tor-a", "tor-b", bare)) as [inside, outside]:
        ping(source, target[key])
        assert outside.counted(0) == 0
        lines = inside.whole
        assert len([line for line in lines if f"{source[key]} > {target[key]}" in line]) >= 5
        assert len([line for line in lines if f"{target[key]} > {source[key]}" in line]) >= 5
        assert all(VNI in line for line in lines), lines


@pytest.mark.parametrize("key", ["address", "address6"])
def test_inside_a_rack_pings_travel_bare_and_never_in_vxlan(vxlan: Lab, key: str) -> None:
    source, target = pod_on(vxlan, "node-a1"), pod_on(vxlan, "node-a2")
    bare = f"(icmp or icmp6) and host {target[key]}"
    with captures(vxlan, ("tor-a", "node-a1", VXLAN), ("tor-a", "node-a1", bare)) as [inside, seen]:
        ping(source, target[key])
        assert seen.counted(10) >= 10
        assert not [line for line in inside.whole if target[key] in line]


def only_nodes_are_seen(lab: Lab, lines: list[str]) -> bool:
    """The outside host got pings, and all of them from addresses of nodes."""
    nodes = {
        address.split("/")[0] for node in lab.status()["nodes"] for address in node["addresses"]
    }
    sources = {found[1] for line in lines if (found := REQUEST.search(line))}
    return bool(sources) and sources <= nodes


def test_a_host_outside_sees_the_node_and_without_nat_the_pod_whom_it_cannot_answer(
    vxlan: Lab, tmp_path: Path
) -> None:
    source = pod_on(vxlan, "node-a1")
    with captures(vxlan, ("internet", "eth0", "icmp")) as [seen]:
        ping(source, INTERNET)
        assert seen.counted(10) >= 10
        assert only_nodes_are_seen(vxlan, seen.lines), seen.lines
    try:
        apply_pools(vxlan, tmp_path, "CrossSubnet", nat=False)
        assert eventually(lambda: not answered(source, INTERNET), 20)
        with captures(vxlan, ("internet", "eth0", "icmp")) as [seen]:
            assert not answered(source, INTERNET)
            assert seen.counted(1)
            assert not only_nodes_are_seen(vxlan, seen.lines), "the control: NAT is off"
            assert any(f"{source['address']} > {INTERNET}" in line for line in seen.lines)
    finally:
        apply_pools(vxlan, tmp_path, "CrossSubnet", nat=True)
    assert eventually(lambda: answered(source, INTERNET), 20)


def answered(source: dict[str, Any], address: str) -> bool:
    """A fresh ping is answered."""
    done = in_netns(source["netns"], "ping", "-n", "-c", "1", "-W", "1", address, check=False)
    return done.returncode == 0


def apply_pools(lab: Lab, directory: Path, mode: str, *, nat: bool = False) -> None:
    """Both pools with this vxlanMode, as an operator writes them."""
    pools = [
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "IPPool",
            "metadata": {"name": pool.name},
            "spec": {**pool.spec, "vxlanMode": mode, "natOutgoing": nat},
        }
        for pool in inventory.topology_that_is_up(lab.home).pools
    ]
    file = directory / f"pools-{mode}.yaml"
    file.write_text(yaml.safe_dump_all(pools))
    lab.exec("node-a1", "felixctl", "apply", "-f", str(file))


def wrong_ways(lab: Lab, mode: str) -> list[str]:
    """What the kernels choose otherwise than this vxlanMode says, when they had time to settle."""
    topology = inventory.topology_that_is_up(lab.home)
    pools = tuple(
        Resource(pool.name, {**pool.spec, "vxlanMode": mode}, pool.annotations)
        for pool in topology.pools
    )
    changed = msgspec.structs.replace(topology, pools=pools)
    return kernel_view.wrong_ways(lab.home, changed, SETTLE_SECONDS)


def all_pairs(lab: Lab) -> list[tuple[str, str]]:
    """(namespace, target): every pair of nodes' pods, both ways, in both families."""
    names = lab.status()
    one_each = {pod["node"]: pod for pod in names["pods"]}
    return [
        (source["netns"], target[key])
        for source, target in itertools.permutations(one_each.values(), 2)
        for key in ("address", "address6")
    ]


@contextmanager
def streams(lab: Lab, pairs: list[tuple[str, str]]) -> Iterator[list[Pinger]]:
    with ExitStack() as stack:
        pingers = [
            stack.enter_context(Pinger(*pair, per_second=PINGS_PER_SECOND)) for pair in pairs
        ]
        time.sleep(2)
        yield pingers


def test_pools_change_between_never_cross_subnet_and_always_without_a_lost_ping(
    routed: Lab, tmp_path: Path
) -> None:
    nodes = [node["name"] for node in routed.status()["nodes"]]
    assert nodes == ["node-a1", "node-a2", "node-b1", "node-b2"]
    spine = ("tor-a", "tor-b", VXLAN)
    within = ("tor-a", "node-a1", f"{VXLAN} and src net 10.10.1.0/24 and dst net 10.10.1.0/24")
    tunnelled = {}
    with streams(routed, all_pairs(routed)) as pingers:
        for step, mode in enumerate(("CrossSubnet", "Always", "Never")):
            apply_pools(routed, tmp_path, mode)
            assert not wrong_ways(routed, mode)
            time.sleep(HOLD_SECONDS)
            with captures(routed, spine, within) as [across, near]:
                time.sleep(1)
                tunnelled[step, mode] = bool(across.lines), bool(near.lines)
        time.sleep(HOLD_SECONDS)
        counts = counted(pingers)
    assert tunnelled == {
        (0, "CrossSubnet"): (True, False),
        (1, "Always"): (True, True),
        (2, "Never"): (False, False),
    }
    lost = [str(count) for count in counts if count.missing or count.duplicates]
    assert not lost, "\n".join(lost)
    assert all(count.sent > PINGS_PER_SECOND * 3 * HOLD_SECONDS * 0.8 for count in counts)


CUT = """
table inet cut {
 chain forward { type filter hook forward priority 0; udp dport 4789 counter drop; }
}
"""


def test_the_same_change_loses_pings_where_a_tor_drops_vxlan(routed: Lab, tmp_path: Path) -> None:
    """The control: between racks the pings are really in the tunnel, and the count can fail."""
    file = tmp_path / "cut.nft"
    file.write_text(CUT)
    far = pod_on(routed, "node-b1")
    near = pod_on(routed, "node-a2")
    source = pod_on(routed, "node-a1")["netns"]
    pairs = [(source, each[key]) for each in (far, near) for key in ("address", "address6")]
    routed.exec("tor-a", "nft", "-f", str(file))
    try:
        with streams(routed, pairs) as pingers:
            apply_pools(routed, tmp_path, "CrossSubnet")
            assert not wrong_ways(routed, "CrossSubnet")
            time.sleep(1)
            counts = counted(pingers)
    finally:
        routed.exec("tor-a", "nft", "delete", "table", "inet", "cut")
        apply_pools(routed, tmp_path, "Never")
    assert [bool(count.missing) for count in counts] == [True, True, False, False], counts
    assert not wrong_ways(routed, "Never")


def test_where_the_tor_knows_the_pods_a_host_outside_sees_the_pod_until_the_pool_translates(
    routed: Lab, tmp_path: Path
) -> None:
    source = pod_on(routed, "node-b1")
    with captures(routed, ("internet", "eth0", "icmp")) as [seen]:
        ping(source, INTERNET)
        assert seen.counted(10) >= 10
        sent = f"{source['address']} > {INTERNET}: ICMP echo request"
        assert len([line for line in seen.lines if sent in line]) == 5
        assert not only_nodes_are_seen(routed, seen.lines)
    try:
        apply_pools(routed, tmp_path, "Never", nat=True)
        assert eventually(lambda: as_node(routed, source), 20)
    finally:
        apply_pools(routed, tmp_path, "Never", nat=False)
    assert eventually(lambda: not as_node(routed, source), 20)


def as_node(lab: Lab, source: dict[str, Any]) -> bool:
    """A ping from this pod reaches the host outside under its node's address, and is answered."""
    with captures(lab, ("internet", "eth0", "icmp")) as [seen]:
        came_back = answered(source, INTERNET)
        assert seen.counted(1)
        return only_nodes_are_seen(lab, seen.lines) and came_back
