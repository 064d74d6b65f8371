"""Which address, link and session everything in a topology has: pure arithmetic on the topology."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from itertools import combinations
from typing import Literal

from felix_py.lab.topology import RackSpec, Topology

FIRST_NODE = 11
REFLECTOR = 250
"""Places in a rack's subnet; the ToR has the first address."""


@dataclass(frozen=True, slots=True)
class SpineLink:
    """A link between two ToRs, a /31."""

    first: str
    second: str
    first_address: IPv4Interface
    second_address: IPv4Interface


Neighbour = Literal["node-external", "node-reflect", "spine", "reflector", "client", "collector"]
"""What a router's peer is to it: a node by eBGP; a node that it reflects to with itself as next hop;
another ToR; the reflector; the reflector's own client; a ToR that learns from the reflector."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session as one router is configured with it."""

    peer_name: str
    peer: IPv4Address
    local: IPv4Address
    peer_as: int
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class Router:
    """A router: who it is, what it announces of its own, and its sessions."""

    name: str
    kind: Literal["bird", "frr"]
    as_number: int
    router_id: IPv4Address
    outside: IPv4Address | None
    networks: tuple[str, ...]
    sessions: tuple[Session, ...]


def tor_address(rack: RackSpec) -> IPv4Interface:
    """The ToR's address in its rack, the nodes' gateway."""
    return IPv4Interface((rack.subnet[1], rack.subnet.prefixlen))


def node_address(topology: Topology, node: str) -> IPv4Interface:
    """A node's address in its rack."""
    rack = topology.rack_of(node)
    place = [each.name for each in rack.nodes].index(node)
    return IPv4Interface((rack.subnet[FIRST_NODE + place], rack.subnet.prefixlen))


def reflector_address(topology: Topology) -> IPv4Interface:
    """The reflector's address; only for topologies that have one."""
    assert topology.reflector is not None
    rack = topology.rack_of(topology.reflector.name)
    return IPv4Interface((rack.subnet[REFLECTOR], rack.subnet.prefixlen))


def etcd_address(topology: Topology) -> IPv4Interface:
    """etcd's address on the management network."""
    return IPv4Interface((topology.management[1], topology.management.prefixlen))


def management_address(topology: Topology, node: str) -> IPv4Interface:
    """A node's address on the management network."""
    place = [each.name for _, each in topology.nodes].index(node)
    return IPv4Interface((topology.management[FIRST_NODE + place], topology.management.prefixlen))


def spine_links(topology: Topology) -> tuple[SpineLink, ...]:
    """A link between every two ToRs."""
    pairs = combinations([rack.tor.name for rack in topology.racks], 2)
    return tuple(
        SpineLink(
            first,
            second,
            IPv4Interface((topology.spine[2 * index], 31)),
            IPv4Interface((topology.spine[2 * index + 1], 31)),
        )
        for index, (first, second) in enumerate(pairs)
    )


def routers(topology: Topology) -> tuple[Router, ...]:
    """Every ToR, and the reflector if there is one, each with all its sessions."""
    tors = tuple(_tor(topology, rack) for rack in topology.racks)
    return (*tors, _reflector(topology)) if topology.reflector else tors


def _tor(topology: Topology, rack: RackSpec) -> Router:
    gateway = tor_address(rack).ip
    sessions: list[Session] = []
    if rack.tor.nodes != "none":
        sessions = [
            Session(
                node.name,
                node_address(topology, node.name).ip,
                gateway,
                node.as_number or topology.as_number,
                "node-external" if rack.tor.nodes == "external" else "node-reflect",
            )
            for node in rack.nodes
        ]
    sessions += _spine_sessions(topology, rack.tor.name)
    if topology.reflector:
        address = reflector_address(topology).ip
        name = topology.reflector.name
        sessions.append(Session(name, address, gateway, topology.as_number, "reflector"))
    return Router(
        name=rack.tor.name,
        kind=rack.tor.kind,
        as_number=rack.tor.as_number,
        router_id=gateway,
        outside=rack.tor.outside,
        networks=(str(rack.subnet), f"{rack.tor.outside}/32"),
        sessions=tuple(sessions),
    )


def _spine_sessions(topology: Topology, tor: str) -> list[Session]:
    numbers = {rack.tor.name: rack.tor.as_number for rack in topology.racks}
    found = []
    for link in spine_links(topology):
        if tor == link.first:
            ends = (link.second, link.second_address.ip, link.first_address.ip)
        elif tor == link.second:
            ends = (link.first, link.first_address.ip, link.second_address.ip)
        else:
            continue
        found.append(Session(*ends, numbers[ends[0]], "spine"))
    return found


def _reflector(topology: Topology) -> Router:
    assert topology.reflector is not None
    own = reflector_address(topology).ip
    clients = [
        Session(
            node.name,
            node_address(topology, node.name).ip,
            own,
            node.as_number or topology.as_number,
            "client",
        )
        for _, node in topology.nodes
    ]
    collectors = [
        Session(rack.tor.name, tor_address(rack).ip, own, rack.tor.as_number, "collector")
        for rack in topology.racks
    ]
    return Router(
        name=topology.reflector.name,
        kind="bird",
        as_number=topology.as_number,
        router_id=own,
        outside=None,
        networks=(),
        sessions=(*clients, *collectors),
    )
