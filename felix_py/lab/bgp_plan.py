"""The routers of a topology and every session that each is configured with. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from felix_py.lab.addressing import (
    IPAddress,
    node_address,
    reflector_address,
    spine_links,
    subnet,
    tor_address,
    tor_outside,
)
from felix_py.lab.topology import RackSpec, Topology

Neighbour = Literal["node-external", "node-reflect", "spine", "reflector", "client", "collector"]
"""What a router's peer is to it: a node by eBGP; a node that it reflects to with itself as next hop;
another ToR; the reflector; the reflector's own client; a ToR that learns from the reflector."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session as one router is configured with it. `versions`: whose routes it carries."""

    peer_name: str
    peer: IPAddress
    local: IPAddress
    peer_as: int
    neighbour: Neighbour
    versions: tuple[int, ...] = (4,)

    @property
    def name(self) -> str:
        """Unique among a router's sessions."""
        return self.peer_name if self.peer.version == 4 else f"{self.peer_name}-v6"


@dataclass(frozen=True, slots=True)
class Router:
    """A router: who it is, what it announces of its own, and its sessions.

    forwards: it stands in the packets' way; a reflector does not. advertises: it tells its rack by
    router advertisements that it is the gateway.
    """

    name: str
    kind: Literal["bird", "frr"]
    as_number: int
    router_id: IPv4Address
    forwards: bool
    networks: tuple[str, ...]
    sessions: tuple[Session, ...]
    versions: tuple[int, ...] = (4,)
    advertises: bool = False


def routers(topology: Topology) -> tuple[Router, ...]:
    """Every ToR, and the reflector if there is one, each with all its sessions."""
    tors = tuple(_tor(topology, rack) for rack in topology.racks)
    return (*tors, _reflector(topology)) if topology.reflector else tors


def _tor(topology: Topology, rack: RackSpec) -> Router:
    sessions = [*_rack_sessions(topology, rack), *_spine_sessions(topology, rack.tor.name)]
    if topology.reflector:
        beside = topology.rack_of(topology.reflector.name).versions
        sessions += [
            Session(
                topology.reflector.name,
                reflector_address(topology, version).ip,
                tor_address(rack, version).ip,
                topology.as_number,
                "reflector",
                (version,),
            )
            for version in rack.versions
            if version in beside
        ]
    return Router(
        name=rack.tor.name,
        kind=rack.tor.kind,
        as_number=rack.tor.as_number,
        router_id=_router_id(tor_address(rack).ip),
        forwards=True,
        networks=tuple(_networks(topology, rack)),
        sessions=tuple(sessions),
        versions=topology.versions,
        advertises=rack.gateway6 == "advertised",
    )


def _networks(topology: Topology, rack: RackSpec) -> Iterator[str]:
    """What a ToR announces of its own: its rack, its loopback, outside hosts behind it."""
    for version in rack.versions:
        yield str(subnet(rack, version))
        address = tor_outside(rack, version)
        if address is not None:
            yield f"{address}/{address.max_prefixlen}"
    for outside in topology.outsides:
        if outside.tor == rack.tor.name:
            yield from (str(subnet(outside, version)) for version in outside.versions)


def _rack_sessions(topology: Topology, rack: RackSpec) -> Iterator[Session]:
    if rack.tor.nodes == "none":
        return
    together = rack.tor.ipv6_over == "ipv4"
    for node in rack.nodes:
        for version in (4,) if together else rack.versions:
            yield Session(
                node.name,
                node_address(topology, node.name, version).ip,
                tor_address(rack, version).ip,
                node.as_number or topology.as_number,
                "node-external" if rack.tor.nodes == "external" else "node-reflect",
                rack.versions if together else (version,),
            )


def _spine_sessions(topology: Topology, tor: str) -> Iterator[Session]:
    numbers = {rack.tor.name: rack.tor.as_number for rack in topology.racks}
    for version in topology.versions:
        for link in spine_links(topology, version):
            if tor == link.first:
                ends = (link.second, link.second_address.ip, link.first_address.ip)
            elif tor == link.second:
                ends = (link.first, link.first_address.ip, link.second_address.ip)
            else:
                continue
            yield Session(*ends, numbers[ends[0]], "spine", (version,))


def _reflector(topology: Topology) -> Router:
    assert topology.reflector is not None
    own = topology.rack_of(topology.reflector.name)
    sessions = [s for version in own.versions for s in _reflected(topology, version)]
    return Router(
        name=topology.reflector.name,
        kind="bird",
        as_number=topology.as_number,
        router_id=_router_id(reflector_address(topology).ip),
        forwards=False,
        networks=(),
        sessions=tuple(sorted(sessions, key=lambda session: session.neighbour != "client")),
        versions=own.versions,
    )


def _reflected(topology: Topology, version: int) -> Iterator[Session]:
    """The reflector's sessions of one family: nodes as clients, ToRs as collectors."""
    local = reflector_address(topology, version).ip
    for rack, node in topology.nodes:
        if version in rack.versions:
            address = node_address(topology, node.name, version).ip
            as_number = node.as_number or topology.as_number
            yield Session(node.name, address, local, as_number, "client", (version,))
    for rack in topology.racks:
        if version in rack.versions:
            address = tor_address(rack, version).ip
            yield Session(
                rack.tor.name, address, local, rack.tor.as_number, "collector", (version,)
            )


def _router_id(address: IPAddress) -> IPv4Address:
    assert isinstance(address, IPv4Address)
    return address
