"""`felixctl explain` names what is wrong with a packet's way: faults planted in the lab, one by one.

Each plants one fault, asks, and takes it back. That the fault is real is shown by a ping where it
loses packets; that explain invents nothing, by every healthy path before and after.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from felix_py.lab import faults, inventory
from tests.e2e.conftest import Labs
from tests.support.lab import Lab, eventually, in_netns

pytestmark = [pytest.mark.root, pytest.mark.lab]

PLANTED_WITH = {"rp-filter": {"foreign-route"}}
"""What a test plants along with a fault: a way back that is another needs a route of somebody."""
WRONG_MAC = "02:00:00:00:00:99"
NODES = "/calico/resources/v3/projectcalico.org/nodes/"
ENDPOINTS = "/calico/resources/v3/projectcalico.org/workloadendpoints/lab/"


@pytest.fixture
def lab(default_lab: Lab) -> Iterator[Lab]:
    """The default topology, healthy before and after."""
    yield default_lab
    faults.heal(default_lab.home, inventory.topology_that_is_up(default_lab.home))
    assert eventually(lambda: fault_of(default_lab, "pod-a1-1", "pod-b1-1") is None, 60)


def explain(lab: Lab, source: str, destination: str, *, blind: bool = False) -> dict[str, Any]:
    """What explain says on node-a1; `blind`: with a way to other nodes that does not work."""
    options = ["--via", "false"] if blind else []
    done = subprocess.run(
        [
            *lab.inside("node-a1"),
            *("felixctl", "explain", source, destination, "-o", "json", *options),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 2}, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == (told["fault"] is None)
    return told


def fault_of(lab: Lab, source: str, destination: str) -> tuple[str, str] | None:
    """(where, name) of what explain says is wrong; nothing else is wrong on the whole way."""
    told = explain(lab, source, destination)
    fault = told["fault"]
    found = {step["fault"]["name"] for step in told["steps"] if step["fault"] is not None}
    if fault is None:
        assert not found
        return None
    name = fault["fault"]["name"]
    return (fault["where"], name if found <= {name, *PLANTED_WITH.get(name, ())} else str(found))


def named(lab: Lab, source: str, destination: str, where: str, name: str) -> bool:
    """Whether this very fault is named, before long."""
    return eventually(lambda: fault_of(lab, source, destination) == (where, name), 30)


def pings(lab: Lab, source: str, destination: str) -> bool:
    """One answered ping from pod to pod."""
    pods = {pod["name"]: pod for pod in lab.pods()}
    address = pods[destination]["address"]
    done = in_netns(pods[source]["netns"], "ping", "-c", "1", "-W", "1", address, check=False)
    return done.returncode == 0


def pod(lab: Lab, name: str) -> dict[str, Any]:
    """A pod by its name, as status has it."""
    return next(each for each in lab.pods() if each["name"] == name)


def block_of(lab: Lab, name: str) -> str:
    """The block that a pod's address is in, as the node that does not have it learned it."""
    address = pod(lab, name)["address"]
    other = "node-a1" if pod(lab, name)["node"] != "node-a1" else "node-b1"
    text = lab.exec(other, "ip", "-j", "route", "get", "fibmatch", address)
    return str(json.loads(text)[0]["dst"])


@contextmanager
def held(lab: Lab, node: str, kind: str) -> Iterator[None]:
    """A daemon that is killed and stays down; others start it again at the end."""
    topology = inventory.topology_that_is_up(lab.home)
    faults.process(lab.home, topology, node, kind, hold=True)
    try:
        yield
    finally:
        faults.heal(lab.home, topology)


@contextmanager
def stored(lab: Lab, key: str, value: dict[str, Any]) -> Iterator[None]:
    """Another value of a key in etcd, for a while; absent before: absent again."""
    before = lab.etcd(key).get(key)
    put(lab, key, value)
    try:
        yield
    finally:
        if before is None:
            lab.exec("etcd", "etcdctl", "del", key)
        else:
            put(lab, key, before)


@contextmanager
def tor_rejects(lab: Lab, block: str) -> Iterator[None]:
    """tor-a's BIRD takes a prefix from nobody, for a while."""
    script = (
        "cp /etc/bird/bird.conf /etc/bird/kept.conf && "
        f"sed -i 's,import all;,import where net !~ [ {block} ];,' /etc/bird/bird.conf && "
        "birdc configure"
    )
    lab.exec("tor-a", "sh", "-c", script)
    try:
        yield
    finally:
        back = "mv /etc/bird/kept.conf /etc/bird/bird.conf && birdc configure"
        lab.exec("tor-a", "sh", "-c", back)


def put(lab: Lab, key: str, value: dict[str, Any]) -> None:
    """Write a key by etcdctl."""
    lab.exec("etcd", "etcdctl", "put", key, json.dumps(value))


def test_a_healthy_path_names_no_fault_whatever_its_kind(lab: Lab) -> None:
    outside = [tor["outside"] for tor in lab.status()["tors"]]
    pairs = [
        *(
            ("pod-a1-1", f"pod-{node}-{n}")
            for node, n in itertools.product(("a2", "b1", "b2"), (1,))
        ),
        *(("pod-a1-1", "pod-a1-2"), ("pod-b1-1", "pod-b1-2"), ("pod-b2-1", "pod-a2-1")),
        *(("pod-a1-1", address) for address in (*outside, "10.10.2.12", "10.10.1.11")),
    ]
    told = {pair: explain(lab, *pair) for pair in pairs}
    assert {pair: each["fault"] for pair, each in told.items()} == dict.fromkeys(pairs)
    across = told["pod-a1-1", "pod-b1-1"]
    steps = {
        (step["where"], step["what"].split(" ")[0]): step for step in reversed(across["steps"])
    }
    assert "proto 81" in steps["node-a1", "route"]["kernel"]
    assert "(mesh node-b1), session up" in steps["node-a1", "told"]["owner"]
    assert "block" in steps["node-a1", "route"]["owner"]
    assert not [step["note"] for step in across["steps"] if step["note"]]


def test_without_a_way_to_other_nodes_it_says_what_it_could_not_see(lab: Lab) -> None:
    told = explain(lab, "pod-a1-1", "pod-b1-1", blind=True)
    assert told["fault"] is None
    notes = {step["note"] for step in told["steps"]}
    assert "the kernel of node-b1 was not seen: status 1" in notes


def test_a_node_address_with_a_wrong_prefix_length_is_named(lab: Lab) -> None:
    key = f"{NODES}node-a1"
    node = lab.etcd(key)[key]
    node["spec"]["bgp"]["ipv4Address"] = "10.10.1.11/16"
    with stored(lab, key, node):
        assert named(lab, "pod-a1-1", "pod-b1-1", "node-a1", "prefix-length")


def test_a_strict_reverse_path_filter_on_the_far_node_is_named(lab: Lab) -> None:
    block = block_of(lab, "pod-a1-1")
    setting = "net.ipv4.conf.eth0.rp_filter"
    lab.exec("node-b1", "ip", "route", "add", block, "via", "172.31.0.11", "metric", "100")
    lab.exec("node-b1", "sysctl", "-qw", f"{setting}=1")
    try:
        assert fault_of(lab, "pod-a1-1", "pod-b1-1") == ("node-b1", "rp-filter")
        assert not pings(lab, "pod-a1-1", "pod-b1-1")
    finally:
        lab.exec("node-b1", "sysctl", "-qw", f"{setting}=0")
        lab.exec("node-b1", "ip", "route", "del", block, "via", "172.31.0.11", "metric", "100")
    assert pings(lab, "pod-a1-1", "pod-b1-1")


def test_an_announcement_that_the_tor_rejects_is_named(lab: Lab) -> None:
    with tor_rejects(lab, block_of(lab, "pod-b1-1")):
        assert named(lab, "pod-a1-1", "pod-b1-1", "node-a1", "filtered")
        assert not pings(lab, "pod-a1-1", "pod-b1-1")
    assert eventually(lambda: pings(lab, "pod-a1-1", "pod-b1-1"), 30)


def test_a_neighbour_entry_with_a_wrong_mac_is_named(lab: Lab) -> None:
    entry = ("10.10.1.12", "dev", "eth0")
    lab.exec("node-a1", "ip", "neigh", "replace", *entry, "lladdr", WRONG_MAC, "nud", "permanent")
    try:
        assert fault_of(lab, "pod-a1-1", "pod-a2-1") == ("node-a1", "stale-neighbour")
        assert not pings(lab, "pod-a1-1", "pod-a2-1")
    finally:
        lab.exec("node-a1", "ip", "neigh", "del", *entry)
    assert pings(lab, "pod-a1-1", "pod-a2-1")


def test_a_pods_neighbour_entry_with_a_wrong_mac_is_named(lab: Lab) -> None:
    far = pod(lab, "pod-b1-1")
    entry = (far["address"], "dev", far["interface"])
    lab.exec("node-b1", "ip", "neigh", "replace", *entry, "lladdr", WRONG_MAC, "nud", "permanent")
    try:
        assert fault_of(lab, "pod-a1-1", "pod-b1-1") == ("node-b1", "stale-neighbour")
        assert not pings(lab, "pod-a1-1", "pod-b1-1")
    finally:
        lab.exec("node-b1", "ip", "neigh", "del", *entry)


def test_a_gateway_entry_inside_a_pod_with_a_wrong_mac_is_named(lab: Lab) -> None:
    netns = pod(lab, "pod-b1-1")["netns"]
    entry = ("ip", "neigh", "replace", "169.254.1.1", "dev", "eth0", "nud", "permanent", "lladdr")
    in_netns(netns, *entry, WRONG_MAC)
    try:
        assert fault_of(lab, "pod-a1-1", "pod-b1-1") == ("node-b1", "stale-neighbour")
        assert not pings(lab, "pod-a1-1", "pod-b1-1")
    finally:
        in_netns(netns, *entry, "ee:ee:ee:ee:ee:ee")


def test_an_uplink_with_a_smaller_mtu_than_the_pods_is_named(lab: Lab) -> None:
    lab.exec("node-b1", "ip", "link", "set", "eth0", "mtu", "1300")
    try:
        told = explain(lab, "pod-a1-1", "pod-b1-1")["fault"]
        assert (told["where"], told["fault"]["name"]) == ("node-a1", "mtu")
        assert "eth0 of node-b1 carries 1300" in told["fault"]["text"]
    finally:
        lab.exec("node-b1", "ip", "link", "set", "eth0", "mtu", "1500")


def test_a_disabled_pool_is_named(lab: Lab) -> None:
    key = "/calico/resources/v3/projectcalico.org/ippools/pods"
    pool = lab.etcd(key)[key]
    pool["spec"]["disabled"] = True
    with stored(lab, key, pool):
        assert fault_of(lab, "pod-a1-1", "pod-b1-1") == ("node-a1", "pool-disabled")
        assert pings(lab, "pod-a1-1", "pod-b1-1")


def test_a_session_that_is_down_is_named(lab: Lab) -> None:
    with held(lab, "node-b1", "launcher"):
        assert named(lab, "pod-a1-1", "pod-b1-1", "node-a1", "session-down")


def test_a_blackhole_of_a_block_that_etcd_gives_to_another_node_is_named(lab: Lab) -> None:
    block = block_of(lab, "pod-b1-1")
    hole = ("blackhole", block, "proto", "80", "metric", "1024")
    with held(lab, "node-a1", "felix"):
        lab.exec("node-a1", "ip", "route", "add", *hole)
        assert fault_of(lab, "pod-a1-1", "pod-b1-1") == ("node-a1", "lost-block")
        assert not pings(lab, "pod-a1-1", "pod-b1-1")
    assert eventually(lambda: pings(lab, "pod-a1-1", "pod-b1-1"), 40), "felix leaves it there"


def test_an_address_that_two_endpoints_claim_is_named(lab: Lab) -> None:
    found = lab.etcd(ENDPOINTS)
    original = next(e for e in found.values() if e["spec"]["pod"] == "pod-b1-1")
    name = "node--a2-k8s-twin-eth0"
    twin = json.loads(json.dumps(original))
    twin["metadata"]["name"] = name
    twin["spec"].update(pod="twin", node="node-a2", interfaceName="cali0twin", containerID="f" * 64)
    with stored(lab, f"{ENDPOINTS}{name}", twin):
        where = fault_of(lab, "pod-a1-1", "pod-b1-1")
        assert where == ("node-b1", "duplicate-address")
        assert fault_of(lab, "pod-b1-1", "pod-a1-1") == ("node-b1", "duplicate-address")


def test_a_tunnel_that_this_kernel_cannot_make_is_named_with_its_module(lab: Lab) -> None:
    key = "/calico/resources/v3/projectcalico.org/ippools/pods"
    pool = lab.etcd(key)[key]
    pool["spec"]["ipipMode"] = "Always"
    with stored(lab, key, pool):
        assert named(lab, "pod-a1-1", "pod-b1-1", "node-a1", "module-missing")
        fault = explain(lab, "pod-a1-1", "pod-b1-1")["fault"]["fault"]
        assert "modprobe ipip" in fault["do"], fault
        assert pings(lab, "pod-a1-1", "pod-b1-1"), "it goes direct until both nodes can tunnel"


@pytest.fixture
def vxlan(labs: Labs) -> Iterator[Lab]:
    """The topology with VXLAN across racks, NAT, and no BGP; healthy before and after."""
    lab = labs.get("vxlan")
    yield lab
    faults.heal(lab.home, inventory.topology_that_is_up(lab.home))
    assert eventually(lambda: fault_of(lab, "pod-a1-1", "pod-b1-1") is None, 60)


INTERNET = "203.0.113.10"


def test_a_healthy_tunnel_and_a_way_out_name_no_fault(vxlan: Lab) -> None:
    pairs = [("pod-a1-1", where) for where in ("pod-b1-1", "pod-b2-1", "pod-a2-1", INTERNET)]
    told = {pair: explain(vxlan, *pair) for pair in pairs}
    assert {pair: each["fault"] for pair, each in told.items()} == dict.fromkeys(pairs)
    assert told["pod-a1-1", "pod-b1-1"]["kind"] == "other node, vxlan tunnel"
    assert told["pod-a1-1", "pod-a2-1"]["kind"].startswith("other node, next hop 10.10.1.12")
    nat = next(
        step for step in told["pod-a1-1", INTERNET]["steps"] if step["what"] == "natOutgoing"
    )
    assert nat["owner"] == "IPPool(pods)"
    assert "inet felix-py" in nat["kernel"]


def test_a_deleted_forwarding_entry_is_named(vxlan: Lab) -> None:
    with held(vxlan, "node-a1", "felix"):
        entries = json.loads(
            vxlan.exec("node-a1", "bridge", "-j", "fdb", "show", "dev", "vxlan.calico")
        )
        far = next(entry for entry in entries if entry.get("dst") == "10.10.2.11")
        gone = (far["mac"], "dev", "vxlan.calico", "dst", far["dst"])
        vxlan.exec("node-a1", "bridge", "fdb", "del", *gone)
        assert fault_of(vxlan, "pod-a1-1", "pod-b1-1") == ("node-a1", "fdb-entry")
        assert not pings(vxlan, "pod-a1-1", "pod-b1-1")
    assert eventually(lambda: pings(vxlan, "pod-a1-1", "pod-b1-1"), 40)


def test_a_flushed_translation_is_named(vxlan: Lab) -> None:
    with held(vxlan, "node-a1", "felix"):
        vxlan.exec("node-a1", "nft", "delete", "table", "inet", "felix-py")
        assert fault_of(vxlan, "pod-a1-1", INTERNET) == ("node-a1", "nat-missing")
        assert fault_of(vxlan, "pod-a1-1", "pod-b1-1") is None, "pods are not translated"
    assert eventually(lambda: fault_of(vxlan, "pod-a1-1", INTERNET) is None, 40)


def test_a_prefix_by_which_a_node_seems_near_and_is_not_is_named(vxlan: Lab) -> None:
    key = f"{NODES}node-a1"
    node = vxlan.etcd(key)[key]
    node["spec"]["bgp"]["ipv4Address"] = "10.10.1.11/16"
    with stored(vxlan, key, node):
        assert named(vxlan, "pod-a1-1", "pod-b1-1", "node-a1", "prefix-length")


def test_a_sender_that_the_far_node_does_not_know_is_named(vxlan: Lab) -> None:
    with held(vxlan, "node-b1", "felix"):
        vxlan.exec("node-b1", "nft", "delete element inet felix-py nodes4 { 10.10.1.11 }")
        assert fault_of(vxlan, "pod-a1-1", "pod-b1-1") == ("node-b1", "sender-refused")
        assert not pings(vxlan, "pod-a1-1", "pod-b1-1")
    assert eventually(lambda: pings(vxlan, "pod-a1-1", "pod-b1-1"), 40)


def test_a_route_that_never_came_because_the_tor_rejects_it_is_named(labs: Labs) -> None:
    """Without a mesh the ToR is the only one who could tell: the route itself is missing."""
    lab = labs.get("rack-as")
    assert eventually(lambda: fault_of(lab, "pod-a1-1", "pod-b1-1") is None)
    with tor_rejects(lab, block_of(lab, "pod-b1-1")):
        assert named(lab, "pod-a1-1", "pod-b1-1", "node-a1", "filtered")
        assert not pings(lab, "pod-a1-1", "pod-b1-1")
    assert eventually(lambda: fault_of(lab, "pod-a1-1", "pod-b1-1") is None, 60)
