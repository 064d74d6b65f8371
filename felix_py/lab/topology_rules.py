"""Pure: what is wrong with a topology, in the file's own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from felix_py.lab.topology import OutsideSpec, RackSpec, Topology

MACHINE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?")
"""Twelve characters: a machine's name is also the name of links, which end at fifteen."""
MAX_NODES_PER_RACK = 200
RESERVED_NAMES = frozenset({"etcd", "lo", "rack0", "eth0", "mgmt0"})


def problems(topology: Topology) -> Iterator[str]:
    """Everything that cannot work; nothing for a good one."""
    yield from _names(topology)
    if not topology.racks:
        yield "racks: at least one is needed"
    if not 0 <= topology.pods_per_node <= 50:
        yield f"podsPerNode: {topology.pods_per_node} is not between 0 and 50"
    for rack in topology.racks:
        yield from _rack(topology, rack)
    reflector = topology.reflector
    if reflector and reflector.rack not in {rack.name for rack in topology.racks}:
        yield f"reflector.rack: {reflector.rack!r} is not a rack of this file"
    for outside in topology.outsides:
        yield from _outside(topology, outside)
    if topology.backend != "bgp":
        yield from _without_bgp(topology)
    yield from _kubernetes(topology)
    for pool in topology.pools:
        try:
            ip_network(str(pool.spec.get("cidr")))
        except ValueError as error:
            yield f"pools[{pool.name}].spec.cidr: {error}"
    yield from _overlaps(topology)


def _names(topology: Topology) -> Iterator[str]:
    seen: set[str] = set()
    for name in topology.machines:
        if not MACHINE_NAME.fullmatch(name) or name in RESERVED_NAMES:
            yield f"{name!r}: not a machine's name (twelve of a-z, 0-9, -; not {sorted(RESERVED_NAMES)})"
        if name in seen:
            yield f"{name!r}: the name is used twice"
        seen.add(name)


def _rack(topology: Topology, rack: RackSpec) -> Iterator[str]:
    where = f"racks[{rack.name}]"
    if rack.subnet.prefixlen > 24:
        yield f"{where}.subnet: {rack.subnet} is too small; a /24 or larger is needed"
    if not 0 < len(rack.nodes) <= MAX_NODES_PER_RACK:
        yield f"{where}.nodes: between 1 and {MAX_NODES_PER_RACK} nodes"
    for number in (rack.tor.as_number, *(node.as_number or 1 for node in rack.nodes)):
        if not 0 < number < 2**32:
            yield f"{where}: AS number {number} is not between 1 and 4294967295"
    for node in rack.nodes:
        same = (node.as_number or topology.as_number) == rack.tor.as_number
        if rack.tor.nodes == "reflect" and not same:
            yield f"{where}.tor.nodes: reflect needs {node.name} in the ToR's AS {rack.tor.as_number}"
        if rack.tor.nodes == "external" and same:
            yield f"{where}.tor.nodes: external needs {node.name} in another AS than the ToR's"
    yield from _ipv6(rack, where)


def _ipv6(rack: RackSpec, where: str) -> Iterator[str]:
    if rack.subnet6 is None:
        wanted = {
            "tor.outside6": rack.tor.outside6 is not None,
            "tor.ipv6Over": rack.tor.ipv6_over != "ipv6",
            "gateway6": rack.gateway6 != "static",
        }
        yield from (f"{where}.{name}: needs a subnet6" for name, given in wanted.items() if given)
    elif rack.subnet6.prefixlen > 112:
        yield f"{where}.subnet6: {rack.subnet6} is too small; a /112 or larger is needed"
    if rack.gateway6 == "advertised" and rack.tor.kind != "bird":
        yield f"{where}.gateway6: advertised needs a BIRD ToR"


def _outside(topology: Topology, outside: OutsideSpec) -> Iterator[str]:
    where = f"outsides[{outside.name}]"
    if outside.tor not in {rack.tor.name for rack in topology.racks}:
        yield f"{where}.tor: {outside.tor!r} is not a ToR of this file"
    if outside.subnet.prefixlen > 28:
        yield f"{where}.subnet: {outside.subnet} is too small; a /28 or larger is needed"
    if outside.subnet6 is not None and outside.subnet6.prefixlen > 124:
        yield f"{where}.subnet6: {outside.subnet6} is too small; a /124 or larger is needed"
    if not set(outside.versions) <= set(topology.versions):
        yield f"{where}.subnet6: no rack has IPv6"


def _without_bgp(topology: Topology) -> Iterator[str]:
    """Nodes without BGP have no sessions, so nothing may ask for one."""
    said = f"is of no use with backend {topology.backend}: nodes speak no BGP"
    for rack in topology.racks:
        if rack.tor.nodes != "none":
            yield f"racks[{rack.name}].tor.nodes: {rack.tor.nodes} {said}"
    if topology.peers:
        yield f"peers: {topology.peers[0].name} {said}"
    if topology.reflector is not None:
        yield f"reflector: {topology.reflector.name} {said}"


def _kubernetes(topology: Topology) -> Iterator[str]:
    wanted = topology.kubernetes
    if wanted is None:
        return
    if wanted.control_plane not in {node.name for _, node in topology.nodes}:
        yield f"kubernetes.controlPlane: {wanted.control_plane!r} is not a node of this file"
    if wanted.services.prefixlen > 24:
        yield f"kubernetes.services: {wanted.services} is too small; a /24 or larger is needed"
    if topology.pods_per_node:
        yield "podsPerNode: with kubernetes it must be 0: pods are the kubelets'"


def _overlaps(topology: Topology) -> Iterator[str]:
    four = [rack.subnet for rack in topology.racks] + [topology.spine, topology.management]
    four += [outside.subnet for outside in topology.outsides]
    four += [topology.kubernetes.services] if topology.kubernetes else []
    six = [rack.subnet6 for rack in topology.racks] + [topology.spine6]
    six += [outside.subnet6 for outside in topology.outsides]
    yield from _clashes(four)
    yield from _clashes([network for network in six if network is not None])


def _clashes(networks: Iterable[IPv4Network | IPv6Network]) -> Iterator[str]:
    seen: list[IPv4Network | IPv6Network] = []
    for network in networks:
        clash = next((other for other in seen if _overlap(network, other)), None)
        if clash is not None:
            yield f"{network} overlaps {clash}; subnets, spine, outsides and management must be apart"
        seen.append(network)


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    length = min(one.prefixlen, other.prefixlen)
    return one.supernet(new_prefix=length) == other.supernet(new_prefix=length)
