"""The running cni server and its node's tunnel addresses, read in etcd with etcdctl."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.model import NodeName
from ipam import admin
from ipam.audit import audit
from ipam.findings import Problem
from tests.functional.cni.node import ADDRESS, NODE, POOL, CniNode
from tests.support import netns

pytestmark = [pytest.mark.root, pytest.mark.etcd]

IPIP = f"ipip-tunnel-addr-{NODE}"
VXLAN = f"vxlan-tunnel-addr-{NODE}"
VXLAN_V6 = f"vxlan-v6-tunnel-addr-{NODE}"
WAIT_SECONDS = 15.0


@pytest.fixture
def node(tmp_path: Path, shim: Path) -> Iterator[CniNode]:
    with CniNode(tmp_path, shim) as node:
        yield node


def pool(node: CniNode, name: str = "pool-1", cidr: str = POOL, **spec: Any) -> None:
    uses = {"nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"]}
    size = 122 if ":" in cidr else 26
    node.put_resource("IPPool", name, {"cidr": cidr, "blockSize": size, **uses, **spec})


def publish(node: CniNode, ipip: str | None = None, **spec: str) -> None:
    tunnel = {} if ipip is None else {"ipv4IPIPTunnelAddr": ipip}
    node.put_resource("Node", NODE, {"bgp": {"ipv4Address": f"{ADDRESS}/24", **tunnel}, **spec})


def tunnels(node: CniNode) -> dict[str, list[dict[str, str]]]:
    """handle -> the attributes of each address it holds, counted in etcd's blocks."""
    found: dict[str, list[dict[str, str]]] = {}
    for text in node.etcd.dump("/calico/ipam/v2/assignment/").values():
        block = json.loads(text)
        for index in block["allocations"]:
            if index is not None:
                attribute = block["attributes"][index]
                if "-tunnel-addr-" in attribute["handle_id"]:
                    found.setdefault(attribute["handle_id"], []).append(attribute["secondary"])
    return found


def address_of(node: CniNode, handle: str) -> str:
    blocks = json.loads(
        node.etcd.dump("/calico/ipam/v2/handle/")[f"/calico/ipam/v2/handle/{handle}"]
    )
    (cidr,) = blocks["block"]
    version = 6 if ":" in cidr else 4
    key = f"/calico/ipam/v2/assignment/ipv{version}/block/{cidr.replace('/', '-')}"
    block = json.loads(node.etcd.dump(key)[key])
    for ordinal, index in enumerate(block["allocations"]):
        if index is not None and block["attributes"][index]["handle_id"] == handle:
            base, _, _ = cidr.partition("/")
            prefix, _, last = base.rpartition("." if version == 4 else ":")
            return f"{prefix}.{int(last) + ordinal}" if version == 4 else base
    raise AssertionError(f"{handle} holds nothing in {cidr}")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def handles(node: CniNode) -> list[str]:
    prefix = "/calico/ipam/v2/handle/"
    return sorted(key.removeprefix(prefix) for key in node.etcd.dump(prefix))


def test_every_kind_is_assigned_as_calico_stores_it_and_survives_a_killed_server(
    node: CniNode,
) -> None:
    pool(node, ipipMode="CrossSubnet")
    pool(node, "vxlan", "10.245.0.0/24", vxlanMode="Always")
    pool(node, "six", "fd00:10:244::/112", vxlanMode="Always")
    until(lambda: handles(node) == [IPIP, VXLAN, VXLAN_V6])
    assert tunnels(node) == {
        IPIP: [{"node": NODE, "type": "ipipTunnelAddress"}],
        VXLAN: [{"node": NODE, "type": "vxlanTunnelAddress"}],
        VXLAN_V6: [{"node": NODE, "type": "vxlanV6TunnelAddress"}],
    }
    before = node.etcd.dump("/calico/ipam/")
    node.kill_server()
    node.start_server()
    time.sleep(1.5)
    assert node.etcd.dump("/calico/ipam/") == before


def test_an_address_stays_until_node_and_device_have_let_go_of_it(node: CniNode) -> None:
    pool(node, vxlanMode="Always")
    until(lambda: handles(node) == [VXLAN])
    address = address_of(node, VXLAN)
    netns.ip(
        *("link", "add", "vxlan.calico", "type", "vxlan", "id", "4096", "dstport", "4789"),
        namespace=node.namespace,
    )
    netns.address(node.namespace, "vxlan.calico", f"{address}/32")
    publish(node, ipv4VXLANTunnelAddr=address)
    pool(node)
    time.sleep(1.5)
    assert handles(node) == [VXLAN], "the Node object publishes it"
    publish(node)
    time.sleep(4)
    assert handles(node) == [VXLAN], "the device carries it"
    netns.ip("address", "flush", "dev", "vxlan.calico", namespace=node.namespace)
    until(lambda: handles(node) == [])
    assert tunnels(node) == {}


@contextmanager
def felix(node: CniNode) -> Iterator[None]:
    """felix beside the cni server, on an uplink with a default route."""
    netns.veth((node.namespace, "eth0"), (node.namespace, "tor0"))
    netns.address(node.namespace, "eth0", "192.168.50.11/24")
    netns.ip("route", "add", "default", "via", "192.168.50.1", namespace=node.namespace)
    script = "from felix_py.agent.main import main; main()"
    config = str(node.directory / "felix-py.yaml")
    with (node.directory / "felix-log").open("ab") as log:
        process = subprocess.Popen(
            netns.command(node.namespace, sys.executable, "-c", script, "--config", config),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def published(node: CniNode) -> str | None:
    path = f"/calico/resources/v3/projectcalico.org/nodes/{NODE}"
    spec: dict[str, Any] = json.loads(node.etcd.dump(path)[path])["spec"]
    return spec.get("ipv4VXLANTunnelAddr")


def carried(node: CniNode) -> list[str]:
    shown = netns.run(
        node.namespace, *("ip", "-j", "address", "show", "dev", "vxlan.calico"), check=False
    )
    links = json.loads(shown or "[]")
    infos = [info for link in links for info in link["addr_info"]]
    return [info["local"] for info in infos if info["family"] == "inet"]


def test_felix_carries_and_publishes_what_was_assigned_and_a_replacement_moves_everything(
    node: CniNode,
) -> None:
    with felix(node):
        pool(node, vxlanMode="Always")
        until(lambda: handles(node) == [VXLAN])
        first = address_of(node, VXLAN)
        until(lambda: published(node) == first)
        assert carried(node) == [first]
        pool(node, vxlanMode="Always", disabled=True)
        pool(node, "pool-2", "10.245.0.0/24", vxlanMode="Always")
        until(lambda: (published(node) or "").startswith("10.245.0."))
        until(lambda: len(tunnels(node)[VXLAN]) == 1)
        assert carried(node) == [published(node)] == [address_of(node, VXLAN)]
        pool(node, "pool-2", "10.245.0.0/24")
        time.sleep(2)
        assert published(node), "pods of the disabled pool still use the tunnel"
        pool(node, disabled=True)
        until(lambda: published(node) is None)
        time.sleep(3)
        assert carried(node), "others may not have heard of it yet"
        assert handles(node) == [VXLAN], "and no pod may be given it meanwhile"


def test_no_pod_gets_the_tunnel_address_of_a_node_whose_store_lost_it(node: CniNode) -> None:
    pool(node, ipipMode="Always")
    until(lambda: handles(node) == [IPIP])
    address = address_of(node, IPIP)
    publish(node, ipip=address)
    node.kill_server()
    node.etcd.ctl("del", "--prefix", "/calico/ipam/")
    node.start_server()
    until(lambda: handles(node) == [IPIP])
    assert address_of(node, IPIP) == address
    assert node.call("ADD", node.container()).exit_code == 0
    assert tunnels(node) == {IPIP: [{"node": NODE, "type": "ipipTunnelAddress"}]}


def test_the_check_knows_a_nodes_tunnel_addresses_and_catches_those_of_a_node_that_is_gone(
    node: CniNode,
) -> None:
    pool(node, ipipMode="Always")
    until(lambda: handles(node) == [IPIP])
    store = EtcdStore.connect(node.etcd.settings)
    try:
        assert audit(store, wait=lambda _: None).findings == ()
        node.stop_server()
        path = f"/calico/resources/v3/projectcalico.org/nodes/{NODE}"
        text = node.etcd.dump(path)[path]
        node.etcd.ctl("del", path)
        found = {finding.problem for finding in audit(store, wait=lambda _: None).findings}
        assert Problem.LEAKED in found
        node.etcd.put(path, text)
        admin.remove_node(admin.Office(store), NodeName(NODE))
        assert node.etcd.dump("/calico/ipam/v2/assignment/") == {}
        assert node.etcd.dump("/calico/ipam/v2/handle/") == {}
    finally:
        store.close()
