"""Which address and link everything in a topology has: pure arithmetic on the topology.

Everything has an IPv4 address; where `version` is 6 the IPv6 one beside it, and asking for one where
the topology has no IPv6 subnet is a fault of the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)
from itertools import combinations

from felix_py.lab.topology import OutsideSpec, RackSpec, Topology

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

FIRST_NODE = 11
REFLECTOR = 250
OUTSIDE_HOST = 10
"""Places in a subnet; the ToR has the first address."""


@dataclass(frozen=True, slots=True)
class SpineLink:
    """A link between two ToRs, a /31, and a /127 in IPv6."""

    first: str
    second: str
    first_address: IPInterface
    second_address: IPInterface


def subnet(of: RackSpec | OutsideSpec, version: int = 4) -> IPNetwork:
    """A rack's or an outside host's subnet."""
    found = of.subnet if version == 4 else of.subnet6
    assert found is not None, f"{of.name} has no IPv{version}"
    return found


def tor_address(rack: RackSpec, version: int = 4) -> IPInterface:
    """The ToR's address in its rack, the nodes' gateway."""
    return _place(subnet(rack, version), 1)


def node_address(topology: Topology, node: str, version: int = 4) -> IPInterface:
    """A node's address in its rack."""
    rack = topology.rack_of(node)
    place = [each.name for each in rack.nodes].index(node)
    return _place(subnet(rack, version), FIRST_NODE + place)


def reflector_address(topology: Topology, version: int = 4) -> IPInterface:
    """The reflector's address; only for topologies that have one."""
    assert topology.reflector is not None
    return _place(subnet(topology.rack_of(topology.reflector.name), version), REFLECTOR)


def outside_gateway(outside: OutsideSpec, version: int = 4) -> IPInterface:
    """The ToR's address on an outside host's subnet."""
    return _place(subnet(outside, version), 1)


def outside_host(outside: OutsideSpec, version: int = 4) -> IPInterface:
    """An outside host's address."""
    return _place(subnet(outside, version), OUTSIDE_HOST)


def etcd_address(topology: Topology) -> IPInterface:
    """etcd's address on the management network."""
    return _place(topology.management, 1)


def management_address(topology: Topology, node: str) -> IPInterface:
    """A node's address on the management network."""
    place = [each.name for _, each in topology.nodes].index(node)
    return _place(topology.management, FIRST_NODE + place)


def tor_outside(rack: RackSpec, version: int = 4) -> IPAddress | None:
    """The address behind a ToR, on its loopback."""
    return rack.tor.outside if version == 4 else rack.tor.outside6


def targets_outside(topology: Topology, version: int = 4) -> dict[str, IPAddress]:
    """Name and address of everything beyond the racks that answers: ToRs' loopbacks, outside hosts."""
    found = {
        rack.tor.name: address
        for rack in topology.racks
        if (address := tor_outside(rack, version)) is not None
    }
    for outside in topology.outsides:
        if version in outside.versions:
            found[outside.name] = outside_host(outside, version).ip
    return found


def spine_links(topology: Topology, version: int = 4) -> tuple[SpineLink, ...]:
    """A link between every two ToRs."""
    spine: IPNetwork = topology.spine if version == 4 else topology.spine6
    length = spine.max_prefixlen - 1
    pairs = combinations([rack.tor.name for rack in topology.racks], 2)
    return tuple(
        SpineLink(
            first,
            second,
            ip_interface((spine[2 * index], length)),
            ip_interface((spine[2 * index + 1], length)),
        )
        for index, (first, second) in enumerate(pairs)
    )


def _place(network: IPNetwork, place: int) -> IPInterface:
    return ip_interface((network[place], network.prefixlen))
