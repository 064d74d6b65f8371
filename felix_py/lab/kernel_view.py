"""What the kernels of the machines show: no tunnel anywhere, and on every node the others' blocks."""

from __future__ import annotations

import json
import time
from typing import Any

from felix_py.lab import etcd
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

KINDS = frozenset(
    {"ipip", "sit", "ip6tnl", "gre", "gretap", "vxlan", "geneve", "wireguard", "vti", "xfrm", "tun"}
)
"""Link kinds that encapsulate."""
CABLES = ("eth0", "mgmt0", "rack0", "cali")
"""What a route of a node may lead to."""
LEARNED_PROTOCOL = "81"
BLOCKS = "/calico/ipam/v2/assignment/ipv4/block/"


def tunnels(home: Home, topology: Topology) -> list[str]:
    """Every tunnel device that is up and every route of a node that uses no cable, in words."""
    found = []
    for name in topology.machines:
        for link in _ip(home, name, "-d", "link"):
            kind = link.get("linkinfo", {}).get("info_kind")
            if kind in KINDS and "UP" in link["flags"]:
                found.append(f"{name}: {link['ifname']} is a tunnel ({kind})")
    for _, node in topology.nodes:
        for route in _ip(home, node.name, "route"):
            hops = route.get("nexthops", [route] if "dev" in route else [])
            found += [
                f"{node.name}: {route['dst']} leads to {hop['dev']}"
                for hop in hops
                if not hop["dev"].startswith(CABLES)
            ]
    return found


def not_learned(home: Home, topology: Topology, timeout_seconds: float) -> list[str]:
    """Blocks of other nodes that a node's kernel has no learned route to, in words, when time is over.

    A default route through the ToR would carry most of this traffic too, so pings do not show it.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        owners = _owners(home, topology)
        missing = []
        for _, node in topology.nodes:
            routes = _ip(home, node.name, "route", "show", "proto", LEARNED_PROTOCOL)
            learned = {route["dst"] for route in routes}
            missing += [
                f"{node.name}: has not learned {block} of {owner}"
                for block, owner in owners.items()
                if owner != node.name and block not in learned
            ]
        if not missing or time.monotonic() > deadline:
            return missing
        time.sleep(0.1)


def _owners(home: Home, topology: Topology) -> dict[str, str]:
    """Each IPv4 block with its node, as etcdctl shows it."""
    listed = etcd.ctl(home, topology, ["get", "--prefix", BLOCKS, "--print-value-only"])
    blocks = [json.loads(line) for line in listed.splitlines() if line]
    return {
        block["cidr"]: block["affinity"].removeprefix("host:")
        for block in blocks
        if block.get("affinity")
    }


def _ip(home: Home, machine: str, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Machine(home, machine).run(["ip", "-j", *arguments]))
    return found
