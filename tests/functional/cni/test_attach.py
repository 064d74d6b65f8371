from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.functional.cni.node import NODE, Call, CniNode
from tests.support import netns

pytestmark = [pytest.mark.root, pytest.mark.etcd]

K8S = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=nginx"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, shim: Path) -> Iterator[CniNode]:
    with CniNode(tmp_path_factory.mktemp("node"), shim) as node:
        yield node


@pytest.fixture
def node(shared: CniNode) -> Iterator[CniNode]:
    """The module's node; every test leaves it as empty as it was."""
    yield shared
    assert not shared.left_behind()


def _address(result: dict[str, object]) -> str:
    ips = result["ips"]
    assert isinstance(ips, list)
    return str(ips[0]["address"]).removesuffix("/32")


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_a_pod_is_attached_reached_and_detached(node: CniNode, version: str) -> None:
    container = node.container()
    added = node.call("ADD", container, cniVersion=version)
    assert added.exit_code == 0, added.stdout
    address = _address(added.json)
    assert added.json["cniVersion"] == version
    assert node.pings(address)

    [link] = node.links().values()
    assert link["ifname"] == added.json["interfaces"][0]["name"]
    assert link["ifalias"] == f"net.{container.container}"
    route = node.routes()[address]
    assert (route["protocol"], route["metric"], route["scope"]) == ("80", 1024, "link")
    pod = Path(container.netns).name
    [pod_link] = netns.ip_json("address", "show", "eth0", namespace=pod)
    assert pod_link["address"] == added.json["interfaces"][1]["mac"]
    assert [entry["local"] for entry in pod_link["addr_info"] if entry["family"] == "inet"] == [
        address
    ]
    default = [r for r in netns.ip_json("route", "show", namespace=pod) if r["dst"] == "default"]
    assert default[0]["gateway"] == "169.254.1.1"
    assert netns.run(pod, "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "0"

    [endpoint] = node.endpoints().values()
    assert endpoint["spec"]["containerID"] == container.container
    assert endpoint["spec"]["interfaceName"] == link["ifname"]
    assert endpoint["spec"]["mac"] == pod_link["address"]
    assert endpoint["spec"]["ipNetworks"] == [f"{address}/32"]
    assert endpoint["spec"]["node"] == NODE
    assert node.allocations() == {f"net.{container.container}": 1}
    if version != "0.3.1":
        checked = node.call("CHECK", container, cniVersion=version, prevResult=added.json)
        assert checked.exit_code == 0, checked.stdout
    assert node.call("DEL", container, cniVersion=version).exit_code == 0
    assert node.call("DEL", container, cniVersion=version).exit_code == 0


def test_add_again_gives_the_same_result_and_touches_nothing(node: CniNode) -> None:
    container = node.container()
    first = node.call("ADD", container)
    index = next(iter(node.links().values()))["ifindex"]
    again = node.call("ADD", container)
    assert again.stdout == first.stdout
    assert next(iter(node.links().values()))["ifindex"] == index
    node.call("DEL", container)


def test_add_again_rebuilds_what_is_missing(node: CniNode) -> None:
    container = node.container()
    first = node.call("ADD", container)
    netns.ip("link", "del", first.json["interfaces"][0]["name"], namespace=node.namespace)
    again = node.call("ADD", container)
    assert again.stdout == first.stdout
    assert node.pings(_address(again.json))
    netns.ip("route", "del", _address(again.json), namespace=node.namespace)
    assert node.call("ADD", container).stdout == first.stdout
    assert node.pings(_address(again.json))
    node.call("DEL", container)


def test_sixteen_at_once_get_sixteen_addresses(node: CniNode) -> None:
    containers = [node.container() for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        added = list(pool.map(lambda one: node.call("ADD", one), containers))
        assert [one.exit_code for one in added] == [0] * 16
        addresses = {_address(one.json) for one in added}
        assert len(addresses) == 16
        assert all(node.pings(address) for address in addresses)
        assert node.allocations() == {f"net.{one.container}": 1 for one in containers}
        deleted = list(pool.map(lambda one: node.call("DEL", one), containers))
    assert [one.exit_code for one in deleted] == [0] * 16


def test_containers_whose_ids_begin_alike_do_not_meet(node: CniNode) -> None:
    one, other = node.container("cafebabe0123456789a"), node.container("cafebabe0123456789b")
    first, second = node.call("ADD", one), node.call("ADD", other)
    assert len(node.links()) == 2
    node.call("DEL", one)
    assert node.pings(_address(second.json))
    assert not node.pings(_address(first.json))
    node.call("DEL", other)


def test_a_namespace_that_is_none_leaves_nothing_behind(node: CniNode, tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.touch()
    for path in (str(plain), str(netns.path(node.namespace))):
        refused = node.call("ADD", Call("x", path))
        assert (refused.exit_code, refused.code) == (1, 3)


def test_a_failure_after_the_transaction_gives_the_address_back(node: CniNode) -> None:
    container = node.container()
    pod = Path(container.netns).name
    netns.ip("link", "add", "eth0", "type", "veth", "peer", "name", "other", namespace=pod)
    refused = node.call("ADD", container)
    assert (refused.exit_code, refused.code) == (1, 121)
    assert not node.allocations()
    assert not node.endpoints()
    netns.ip("link", "del", "eth0", namespace=pod)
    assert node.call("ADD", container).exit_code == 0
    node.call("DEL", container)


def test_a_route_of_somebody_else_is_left_alone_and_add_rolls_back(node: CniNode) -> None:
    free = node.container()
    address = _address(node.call("ADD", free, runtimeConfig={"ips": ["10.244.9.9"]}).json)
    node.call("DEL", free)
    netns.ip("route", "add", address, "dev", "lo", "metric", "1024", namespace=node.namespace)
    container = node.container()
    refused = node.call("ADD", container, runtimeConfig={"ips": [address]})
    assert (refused.exit_code, refused.code) == (1, 121)
    assert node.routes()[address]["dev"] == "lo"
    netns.ip("route", "del", address, namespace=node.namespace)


def test_a_specific_address_is_given_or_refused(node: CniNode) -> None:
    one, other = node.container(args="IP=10.244.3.3"), node.container(args="IP=10.244.3.3")
    assert _address(node.call("ADD", one).json) == "10.244.3.3"
    refused = node.call("ADD", other)
    assert (refused.exit_code, refused.code) == (1, 103)
    outside = node.container(args="IP=192.0.2.9")
    assert node.call("ADD", outside).code == 104
    node.call("DEL", one)


def test_a_restarted_pod_of_kubernetes_takes_its_link_over(node: CniNode) -> None:
    old, new = node.container(args=K8S), node.container(args=K8S)
    conf = {"policy": {"type": "k8s"}}
    before = node.call("ADD", old, **conf)
    after = node.call("ADD", new, **conf)
    assert after.exit_code == 0, after.stdout
    assert (
        before.json["interfaces"][0] == after.json["interfaces"][0] == {"name": "calic440f455693"}
    )
    [endpoint] = node.endpoints().values()
    assert endpoint["spec"]["containerID"] == new.container
    assert endpoint["spec"]["profiles"] == ["kns.default"]
    assert node.call("DEL", old, **conf).exit_code == 0
    assert node.pings(_address(after.json))
    assert node.allocations() == {f"net.{new.container}": 1}
    node.call("DEL", new, **conf)


def test_a_link_without_a_record_is_never_touched(node: CniNode) -> None:
    netns.ip(
        *("link", "add", "calic440f455693", "type", "veth", "peer", "name", "p0"),
        namespace=node.namespace,
    )
    refused = node.call("ADD", node.container(args=K8S))
    assert (refused.exit_code, refused.code) == (1, 121)
    assert "calic440f455693" in node.links()
    assert not node.allocations()
    netns.ip("link", "del", "calic440f455693", namespace=node.namespace)


def test_the_same_network_twice_in_a_container_is_refused(node: CniNode) -> None:
    container = node.container()
    second = Call(container.container, container.netns, ifname="net1")
    added = node.call("ADD", container)
    assert node.call("ADD", second).code == 121
    assert node.call("DEL", second).exit_code == 0
    assert node.pings(_address(added.json))
    other = node.call("ADD", second, name="net2")
    assert other.exit_code == 0, other.stdout
    node.call("DEL", second, name="net2")
    node.call("DEL", container)


def test_del_needs_neither_namespace_nor_link(node: CniNode) -> None:
    container = node.container()
    node.call("ADD", container)
    netns.delete(Path(container.netns).name)
    assert node.call("DEL", container).exit_code == 0
    assert node.call("DEL", node.container("never-seen")).exit_code == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (("node", "link", "set", "{link}", "down"), "down"),
        (("node", "route", "del", "{address}"), "route"),
        (("pod", "address", "del", "{address}/32", "dev", "eth0"), "address"),
        (("pod", "route", "del", "default"), "default route"),
        (("pod", "link", "set", "eth0", "mtu", "1400"), "MTU"),
        (("etcd",), "missing or invalid in etcd"),
    ],
)
def test_check_finds_what_was_damaged(node: CniNode, damage: tuple[str, ...], words: str) -> None:
    container = node.container()
    added = node.call("ADD", container)
    assert node.call("CHECK", container, prevResult=added.json).exit_code == 0
    where, *command = damage
    names = {"link": added.json["interfaces"][0]["name"], "address": _address(added.json)}
    if where == "etcd":
        [key] = node.endpoints()
        node.etcd.ctl("del", key)
    else:
        namespace = node.namespace if where == "node" else Path(container.netns).name
        netns.ip(*(word.format(**names) for word in command), namespace=namespace)
    found = node.call("CHECK", container, prevResult=added.json)
    assert (found.exit_code, found.code) == (1, 130)
    assert words in found.json["msg"]
    node.call("DEL", container)


def test_a_namespace_that_vanishes_midway_leaves_nothing_behind(node: CniNode) -> None:
    container = node.container()
    pod = Path(container.netns).name
    with ThreadPoolExecutor(1) as pool:
        added = pool.submit(node.call, "ADD", container)
        threading.Timer(0.002, netns.delete, (pod,)).start()
        added.result()
    assert node.call("DEL", container).exit_code == 0


def test_what_is_left_behind_is_noticed(node: CniNode) -> None:
    container = node.container()
    node.call("ADD", container)
    places = {"links", "routes", "allocations", "handles", "endpoints", "records"}
    assert set(node.left_behind()) == places
    node.call("DEL", container)


def test_a_dual_stack_pod_is_reached_by_both_families(node: CniNode) -> None:
    pool = {"cidr": "fd00:10:244::/48", "blockSize": 122, "nodeSelector": "all()"}
    node.put_resource("IPPool", "pool-6", {**pool, "allowedUses": ["Workload"]})
    netns.address(node.namespace, "lo", "fd00::1/128")
    container = node.container()
    conf = {"ipam": {"assign_ipv4": "true", "assign_ipv6": "true"}}
    deadline = time.monotonic() + 10
    while (added := node.call("ADD", container, **conf)).exit_code:
        assert time.monotonic() < deadline, added.stdout
        node.call("DEL", container)
    four, six = (entry["address"].partition("/")[0] for entry in added.json["ips"])
    assert node.pings(four)
    assert node.pings(six)
    assert node.call("CHECK", container, prevResult=added.json, **conf).exit_code == 0
    node.call("DEL", container)


def test_a_link_that_was_only_half_made_is_made_anew(node: CniNode) -> None:
    container = node.container()
    first = node.call("ADD", container)
    link = first.json["interfaces"][0]["name"]
    netns.ip("link", "set", link, "alias", "", namespace=node.namespace)
    assert node.links()[link].get("ifalias", "") == ""
    again = node.call("ADD", container)
    assert again.stdout == first.stdout
    assert node.links()[link]["ifalias"] == f"net.{container.container}"
    netns.ip("link", "set", link, "alias", "", namespace=node.namespace)
    assert node.call("DEL", container).exit_code == 0
