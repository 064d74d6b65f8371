"""What etcd, the kernels and the pods really hold, read without any product code, and compared.

Everything here comes from `etcdctl`, `ip -j` and JSON; a disagreement is one sentence.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

IPAM = "/calico/ipam/v2/"
ENDPOINTS = "/calico/resources/v3/projectcalico.org/workloadendpoints/"
FELIX_PROTOCOL = "80"


@dataclass(frozen=True)
class Pod:
    """A pod that the harness believes to live."""

    name: str
    node_netns: str
    netns: str
    container_id: str


@dataclass
class Etcd:
    """Allocations, handles and endpoints as etcd holds them."""

    allocations: list[tuple[str, str]] = field(default_factory=list)
    """(address, handle) for each allocated ordinal of each block."""
    handles: dict[str, dict[str, int]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    affinities: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)


def run_json(*argv: str) -> Any:
    """The JSON a command prints."""
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30)
    return json.loads(done.stdout or "[]")


def read_etcd(etcdctl: list[str]) -> Etcd:
    """Everything under /calico by one `etcdctl get`; `etcdctl` is the command with its options."""
    document = run_json(*etcdctl, "get", "/calico/", "--prefix", "-w", "json")
    etcd = Etcd()
    for pair in document.get("kvs", []):
        key = base64.b64decode(pair["key"]).decode()
        text = base64.b64decode(pair.get("value", "")).decode()
        _fold(etcd, key, text)
    return etcd


def _fold(etcd: Etcd, key: str, text: str) -> None:
    if key.startswith(f"{IPAM}assignment/"):
        block = json.loads(text)
        etcd.blocks[block["cidr"]] = block
        base = ipaddress.ip_network(block["cidr"]).network_address
        for ordinal, index in enumerate(block["allocations"]):
            if index is not None:
                handle = block["attributes"][index].get("handle_id", "")
                etcd.allocations.append((str(base + ordinal), handle))
    elif key.startswith(f"{IPAM}handle/"):
        etcd.handles[key.removeprefix(f"{IPAM}handle/")] = json.loads(text)["block"]
    elif key.startswith(f"{IPAM}host/"):
        etcd.affinities[key] = text
    elif key.startswith(ENDPOINTS):
        etcd.endpoints[key.removeprefix(ENDPOINTS)] = json.loads(text)["spec"]


def compare_ipam(etcd: Etcd) -> list[str]:
    """Disagreements among blocks, handles and endpoints."""
    wrong: list[str] = []
    owners = Counter(address for address, _ in etcd.allocations)
    wrong += [f"address {address} is allocated {n} times" for address, n in owners.items() if n > 1]
    held = {
        network.partition("/")[0]: name
        for name, spec in etcd.endpoints.items()
        for network in spec["ipNetworks"]
    }
    claims = Counter(
        n.partition("/")[0] for spec in etcd.endpoints.values() for n in spec["ipNetworks"]
    )
    wrong += [f"address {address} is in {n} endpoints" for address, n in claims.items() if n > 1]
    wrong += [f"leak: {a} of {h} has no endpoint" for a, h in etcd.allocations if a not in held]
    wrong += [
        f"orphan endpoint {name}: {a} is not allocated"
        for a, name in held.items()
        if a not in owners
    ]
    for address, handle in etcd.allocations:
        if address in held and not handle.endswith(etcd.endpoints[held[address]]["containerID"]):
            wrong.append(
                f"{address} belongs to {handle} but endpoint {held[address]} names another container"
            )
    counted: dict[str, Counter[str]] = {}
    for cidr, block in etcd.blocks.items():
        for index in block["allocations"]:
            if index is not None:
                counted.setdefault(block["attributes"][index].get("handle_id", ""), Counter())[
                    cidr
                ] += 1
    for handle in set(counted) | set(etcd.handles):
        says, holds = etcd.handles.get(handle, {}), dict(counted.get(handle, {}))
        if says != holds:
            wrong.append(f"handle {handle} says {says} but blocks say {holds}")
    return wrong


def compare_node(node: str, netns: str, etcd: Etcd) -> list[str]:
    """Disagreements between a node's kernel and its endpoints in etcd."""
    wrong: list[str] = []
    mine = {name: spec for name, spec in etcd.endpoints.items() if spec["node"] == node}
    wanted = {
        (network.removesuffix("/32").removesuffix("/128"), spec["interfaceName"])
        for spec in mine.values()
        for network in spec["ipNetworks"]
    }
    routes = [
        route
        for family in ("-4", "-6")
        for route in run_json(
            "ip", "-n", netns, family, "-j", "-N", "route", "show", "table", "main"
        )
    ]
    present = {
        (r["dst"], r["dev"])
        for r in routes
        if str(r.get("dev", "")).startswith("cali")
        and "/" not in r["dst"]
        and r["dst"] != "default"
        and not r["dst"].startswith("fe80")
    }
    wrong += [f"{node}: stray route {dst} dev {dev}" for dst, dev in sorted(present - wanted)]
    wrong += [f"{node}: missing route {dst} dev {dev}" for dst, dev in sorted(wanted - present)]
    for route in routes:
        if (route["dst"], route.get("dev")) in wanted and str(
            route.get("protocol")
        ) != FELIX_PROTOCOL:
            wrong.append(f"{node}: route {route['dst']} has protocol {route.get('protocol')}")
    links = {
        link["ifname"]: link.get("ifalias", "")
        for link in run_json("ip", "-n", netns, "-j", "link")
        if link["ifname"].startswith("cali")
    }
    names = {spec["interfaceName"]: spec["containerID"] for spec in mine.values()}
    wrong += [f"{node}: stray link {name}" for name in sorted(set(links) - set(names))]
    wrong += [f"{node}: missing link {name}" for name in sorted(set(names) - set(links))]
    wrong += [
        f"{node}: link {name} has alias {links[name]!r}"
        for name in sorted(set(names) & set(links))
        if not links[name].endswith(names[name])
    ]
    return wrong


def compare_pods(pods: Iterable[Pod], etcd: Etcd) -> list[str]:
    """Disagreements between what pods have inside and their endpoints in etcd."""
    wrong: list[str] = []
    by_container = {spec["containerID"]: spec for spec in etcd.endpoints.values()}
    alive: set[str] = set()
    for pod in pods:
        alive.add(pod.container_id)
        spec = by_container.get(pod.container_id)
        if spec is None:
            wrong.append(f"pod {pod.name} has no endpoint")
            continue
        inside = {
            f"{info['local']}/{info['prefixlen']}"
            for link in run_json("ip", "-n", pod.netns, "-j", "addr", "show", "dev", "eth0")
            for info in link["addr_info"]
            if info["scope"] == "global"
        }
        if inside != set(spec["ipNetworks"]):
            wrong.append(
                f"pod {pod.name} has {sorted(inside)} but its endpoint says {spec['ipNetworks']}"
            )
    wrong += [
        f"endpoint of container {c[:12]} has no pod" for c in sorted(set(by_container) - alive)
    ]
    return wrong


def disagreements(etcdctl: list[str], nodes: Mapping[str, str], pods: Iterable[Pod]) -> list[str]:
    """Everything that does not agree; `nodes` maps node name to its network namespace."""
    etcd = read_etcd(etcdctl)
    wrong = compare_ipam(etcd)
    for node, netns in nodes.items():
        wrong += compare_node(node, netns, etcd)
    return wrong + compare_pods(pods, etcd)
