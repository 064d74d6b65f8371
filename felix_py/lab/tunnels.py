"""Looks for tunnels: devices that encapsulate, and routes that lead to anything but cables."""

from __future__ import annotations

import json

from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

KINDS = frozenset(
    {"ipip", "sit", "ip6tnl", "gre", "gretap", "vxlan", "geneve", "wireguard", "vti", "xfrm", "tun"}
)
CABLES = ("eth0", "mgmt0", "rack0", "cali")
"""What a route of a node may lead to."""


def find(home: Home, topology: Topology) -> list[str]:
    """Every tunnel device that is up and every route of a node that uses no cable, in words."""
    found = []
    for name in topology.machines:
        machine = Machine(home, name)
        for link in json.loads(machine.run(["ip", "-j", "-d", "link"])):
            kind = link.get("linkinfo", {}).get("info_kind")
            if kind in KINDS and "UP" in link["flags"]:
                found.append(f"{name}: {link['ifname']} is a tunnel ({kind})")
    for _, node in topology.nodes:
        for route in json.loads(Machine(home, node.name).run(["ip", "-j", "route"])):
            hops = route.get("nexthops", [route] if "dev" in route else [])
            found += [
                f"{node.name}: {route['dst']} leads to {hop['dev']}"
                for hop in hops
                if not hop["dev"].startswith(CABLES)
            ]
    return found
