"""What the kernels of the machines show: the others' blocks on every node, and tunnels where they belong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from felix_py.lab import etcd, paths, pods
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

KINDS = frozenset(
    {"ipip", "sit", "ip6tnl", "gre", "gretap", "vxlan", "geneve", "wireguard", "vti", "xfrm", "tun"}
)
"""Link kinds that encapsulate."""
CABLES = ("eth0", "mgmt0", "rack0", "cali", "lo")
"""What a route of a node may lead to where nothing is encapsulated."""
FELIX_PROTOCOL, BGP_PROTOCOL = "80", "81"
BLOCKS = "/calico/ipam/v2/assignment/ipv{}/block/"


@dataclass(frozen=True, slots=True)
class Block:
    """A block with the node that owns it."""

    cidr: str
    owner: str

    @property
    def version(self) -> int:
        """4 or 6."""
        return ip_network(self.cidr).version


def tunnels(home: Home, topology: Topology) -> list[str]:
    """Every tunnel device that is up and every route of a node that uses no cable, in words."""
    found = []
    for name in topology.machines:
        for link in _ip(home, name, "-d", "link"):
            kind = link.get("linkinfo", {}).get("info_kind")
            if kind in KINDS and "UP" in link["flags"]:
                found.append(f"{name}: {link['ifname']} is a tunnel ({kind})")
    for rack, node in topology.nodes:
        for version in rack.versions:
            for route in _routes(home, node.name, version):
                found += [
                    f"{node.name}: {route['dst']} leads to {device}"
                    for device in _devices(route)
                    if not device.startswith(CABLES)
                ]
    return found


def not_learned(home: Home, topology: Topology, timeout_seconds: float) -> list[str]:
    """Blocks of other nodes that a node's kernel has no such route to as it should, in words.

    A default route through the ToR would carry most of this traffic too, so pings do not show it.
    What is missing when the time is over.
    """
    return _patiently(lambda: _missing(home, topology), timeout_seconds)


def wrong_ways(home: Home, topology: Topology, timeout_seconds: float) -> list[str]:
    """Which pairs tunnel and which do not, by the kernel's own choice for each pod; in words what differs."""
    return _patiently(lambda: _wrong(home, topology), timeout_seconds)


def _patiently(look: Callable[[], Iterator[str]], timeout_seconds: float) -> list[str]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = list(look())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _missing(home: Home, topology: Topology) -> Iterator[str]:
    protocols = {BGP_PROTOCOL} if topology.backend == "bgp" else {FELIX_PROTOCOL}
    if paths.encapsulates(topology):
        protocols.add(FELIX_PROTOCOL)
    versions = topology.versions
    blocks = [block for version in versions for block in _blocks(home, topology, version)]
    for rack, node in topology.nodes:
        learned = {
            route["dst"]
            for version in rack.versions
            for route in _routes(home, node.name, version)
            if str(route.get("protocol")) in protocols and route.get("type") != "blackhole"
        }
        for block in blocks:
            speaks = block.version in rack.versions
            if speaks and block.owner != node.name and block.cidr not in learned:
                yield f"{node.name}: has no route to {block.cidr} of {block.owner}"


def _wrong(home: Home, topology: Topology) -> Iterator[str]:
    running = pods.every(home)
    for rack, node in topology.nodes:
        targets = [
            (pod, version)
            for pod in running
            for version in rack.versions
            if pod.node != node.name and pod.addressed(version)
        ]
        asked = [f"route get {pod.addressed(version)}" for pod, version in targets]
        told = _chosen(home, node.name, asked)
        for (pod, version), device in zip(targets, told, strict=True):
            address = pod.addressed(version)
            kind = paths.tunnel_between(topology, node.name, pod.node, address)
            wanted = paths.DEVICES.get((kind, version), "eth0")
            if device != wanted:
                yield f"{node.name}: {pod.name} ({address}) is reached by {device}, not by {wanted}"


def _chosen(home: Home, machine: str, questions: list[str]) -> list[str]:
    """The device of each answer; "nothing" where the kernel has no way (`ip` says so and goes on)."""
    if not questions:
        return []
    script = "\n".join(f"ip -j {question} 2>/dev/null || echo" for question in questions)
    answers = Machine(home, machine).run(["sh", "-c", script]).splitlines()
    return [json.loads(line)[0].get("dev", "nothing") if line else "nothing" for line in answers]


def _blocks(home: Home, topology: Topology, version: int) -> list[Block]:
    """Each block that a node owns, as etcdctl shows it."""
    asked = ["get", "--prefix", BLOCKS.format(version), "--print-value-only"]
    listed = etcd.ctl(home, topology, asked)
    blocks = [json.loads(line) for line in listed.splitlines() if line]
    return [
        Block(block["cidr"], block["affinity"].removeprefix("host:"))
        for block in blocks
        if block.get("affinity")
    ]


def _routes(home: Home, machine: str, version: int) -> list[dict[str, Any]]:
    return _ip(home, machine, f"-{version}", "-N", "route")


def _devices(route: dict[str, Any]) -> list[str]:
    hops = route.get("nexthops", [route] if "dev" in route else [])
    return [hop["dev"] for hop in hops]


def _ip(home: Home, machine: str, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Machine(home, machine).run(["ip", "-j", *arguments]))
    return found
