"""How packets go between two pods, or out, in a topology: over how many routers, by which tunnel. Pure.

This is the lab's own idea of it, made of racks and the pools' modes alone: what the daemons do is held
against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal

from felix_py.lab.topology import Resource, Topology

Tunnel = Literal["", "vxlan", "ipip"]
NEVER, CROSS_SUBNET = "Never", "CrossSubnet"
DEVICES: dict[tuple[Tunnel, int], str] = {
    ("vxlan", 4): "vxlan.calico",
    ("vxlan", 6): "vxlan-v6.calico",
    ("ipip", 4): "tunl0",
}
"""The device of a tunnel by its kind and the IP version of what it carries."""


@dataclass(frozen=True, slots=True)
class Way:
    """routers: how many an answer passes. translated: the other end sees the node's address."""

    routers: int
    tunnel: Tunnel = ""
    translated: bool = False


def pool_of(topology: Topology, address: str) -> Resource | None:
    """The pool that an address is of, None outside all of them; the narrowest counts."""
    wanted = ip_address(address)
    holding = [pool for pool in topology.pools if wanted in ip_network(str(pool.spec.get("cidr")))]
    holding.sort(key=lambda pool: ip_network(str(pool.spec.get("cidr"))).prefixlen)
    return holding[-1] if holding else None


def tunnel_between(topology: Topology, node: str, other: str, address: str) -> Tunnel:
    """The tunnel in which a packet to a pod's address on another node travels; "" for none."""
    pool = pool_of(topology, address)
    if node == other or pool is None:
        return ""
    for kind, field in (("vxlan", "vxlanMode"), ("ipip", "ipipMode")):
        mode = pool.spec.get(field, NEVER)
        if mode == NEVER:
            continue
        if mode == CROSS_SUBNET and topology.rack_of(node) == topology.rack_of(other):
            continue
        return "vxlan" if kind == "vxlan" else "ipip"
    return ""


def between(topology: Topology, node: str, other: str, address: str) -> Way:
    """The way of an answer from a pod of `other`, a ToR or an outside host, to `address` on `node`."""
    if other not in {each.name for _, each in topology.nodes}:
        return Way(_routers_to_outside(topology, node, other), translated=nat(topology, address))
    tunnel = tunnel_between(topology, other, node, address)
    if node == other:
        return Way(1)
    if tunnel:
        return Way(2, tunnel)
    here, there = topology.rack_of(node), topology.rack_of(other)
    if here != there:
        return Way(4)
    return Way(3 if here.tor.nodes == "reflect" else 2)


def nat(topology: Topology, address: str) -> bool:
    """Whether packets from a pod's address leave the pools as its node's."""
    pool = pool_of(topology, address)
    return pool is not None and bool(pool.spec.get("natOutgoing"))


def answered(topology: Topology, node: str, address: str, outside: str) -> bool:
    """Whether what stands outside has a way back to a pod, or to its node in its place."""
    if nat(topology, address):
        return True
    host = topology.outside_host(outside)
    knows = topology.reflector is not None or topology.rack_of(node).tor.nodes != "none"
    return knows and (host is None or host.knows_pods)


def encapsulates(topology: Topology) -> bool:
    """Whether any pool may have packets in a tunnel."""
    return any(
        pool.spec.get(field, NEVER) != NEVER
        for pool in topology.pools
        for field in ("vxlanMode", "ipipMode")
    )


def _routers_to_outside(topology: Topology, node: str, other: str) -> int:
    same = topology.rack_of(node) == topology.rack_of(other)
    behind = 0 if topology.outside_host(other) is None else 1
    return (1 if same else 2) + behind
