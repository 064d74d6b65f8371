"""What a lab looks like: a YAML file to frozen, validated values. Pure but for `load`.

A topology names racks, each with a subnet, a ToR (its program, AS number and outside address) and
nodes, and what is put into etcd: pools and BGP peers as Calico spells their specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from felix_py.lab.errors import LabError

SHIPPED = Path(__file__).with_name("topologies")
MACHINE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?")
"""Twelve characters: a machine's name is also the name of links, which end at fifteen."""
MAX_NODES_PER_RACK = 200
RESERVED_NAMES = frozenset({"etcd", "lo", "rack0", "eth0", "mgmt0"})


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A piece of the file: frozen, its fields in camel case, unknown ones refused."""


class Resource(_Part, frozen=True):
    """A resource for etcd: its name and its spec, spelled as Calico spells it."""

    name: str
    spec: Mapping[str, Any] = {}


class NodeSpec(_Part, frozen=True):
    """A node; without an AS number of its own it is in the cluster's."""

    name: str
    as_number: int | None = None


class TorSpec(_Part, frozen=True):
    """A top-of-rack router.

    nodes: `external`, eBGP with every node of the rack; `reflect`, iBGP, and it reflects with itself
    as the next hop; `none`, no sessions with nodes.
    """

    name: str
    kind: Literal["bird", "frr"]
    as_number: int
    outside: IPv4Address
    nodes: Literal["external", "reflect", "none"] = "external"


class RackSpec(_Part, frozen=True):
    """A rack: a subnet, its ToR (the first address) and its nodes (from the eleventh)."""

    name: str
    subnet: IPv4Network
    tor: TorSpec
    nodes: tuple[NodeSpec, ...]


class ReflectorSpec(_Part, frozen=True):
    """A BIRD route reflector on a rack's subnet: every node is its client, ToRs learn from it too."""

    name: str
    rack: str


class Topology(_Part, frozen=True):
    """The whole lab."""

    name: str
    racks: tuple[RackSpec, ...]
    pools: tuple[Resource, ...]
    as_number: int = 64512
    mesh: bool = True
    peers: tuple[Resource, ...] = ()
    reflector: ReflectorSpec | None = None
    pods_per_node: int = 3
    spine: IPv4Network = IPv4Network("10.10.255.0/24")
    """Links between ToRs, each a /31 of this."""
    management: IPv4Network = IPv4Network("172.31.0.0/24")
    """The network by which nodes reach etcd."""
    tls: bool = False
    """etcd asks for client certificates."""

    @property
    def nodes(self) -> tuple[tuple[RackSpec, NodeSpec], ...]:
        """Every node with its rack, in the order of the file."""
        return tuple((rack, node) for rack in self.racks for node in rack.nodes)

    def rack_of(self, machine: str) -> RackSpec:
        """The rack in which a node, ToR or reflector stands. Raises LabError for others."""
        for rack in self.racks:
            here = {rack.tor.name, *(node.name for node in rack.nodes)}
            if self.reflector is not None and self.reflector.rack == rack.name:
                here.add(self.reflector.name)
            if machine in here:
                return rack
        raise LabError(f"{machine}: no such node or ToR; this lab has {', '.join(self.machines)}")

    @property
    def machines(self) -> tuple[str, ...]:
        """Names of everything that has a network stack of its own, but for pods and etcd."""
        tors = [rack.tor.name for rack in self.racks]
        reflector = [self.reflector.name] if self.reflector else []
        return (*tors, *reflector, *(node.name for _, node in self.nodes))


def load(name_or_path: str) -> Topology:
    """A shipped topology by its name, or any file. Raises LabError, which names file and field."""
    path = Path(name_or_path)
    if not path.suffix:
        path = SHIPPED / f"{name_or_path}.yaml"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise LabError(f"{path}: {error.strerror}; give a file or one of: {shipped}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> Topology:
    """YAML to a topology; `source` names it in errors. Raises LabError."""
    try:
        topology = msgspec.convert(yaml.safe_load(text), Topology, dec_hook=_decode)
    except yaml.YAMLError as error:
        raise LabError(f"{source}: not YAML: {error}") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise LabError(f"{source}: {error}") from error
    problem = next(_problems(topology), None)
    if problem is not None:
        raise LabError(f"{source}: {problem}")
    return topology


def _decode(kind: type, value: object) -> object:
    """Addresses and prefixes from their text; IPv6 is refused by name."""
    text = str(value)
    if ":" in text:
        raise ValueError(f"{text}: the lab's underlay is IPv4 only; give an IPv4 value")
    return kind(text)


def _problems(topology: Topology) -> Iterator[str]:
    """What is wrong with it, in the file's words."""
    yield from _name_problems(topology)
    if not topology.racks:
        yield "racks: at least one is needed"
    if not 0 <= topology.pods_per_node <= 50:
        yield f"podsPerNode: {topology.pods_per_node} is not between 0 and 50"
    for rack in topology.racks:
        yield from _rack_problems(topology, rack)
    reflector = topology.reflector
    if reflector and reflector.rack not in {rack.name for rack in topology.racks}:
        yield f"reflector.rack: {reflector.rack!r} is not a rack of this file"
    for pool in topology.pools:
        try:
            ip_network(str(pool.spec.get("cidr")))
        except ValueError as error:
            yield f"pools[{pool.name}].spec.cidr: {error}"
    networks = [rack.subnet for rack in topology.racks] + [topology.spine, topology.management]
    for index, network in enumerate(networks):
        clash = next((other for other in networks[:index] if other.overlaps(network)), None)
        if clash is not None:
            yield f"{network} overlaps {clash}; subnets, spine and management must be apart"


def _name_problems(topology: Topology) -> Iterator[str]:
    seen: set[str] = set()
    for name in topology.machines:
        if not MACHINE_NAME.fullmatch(name) or name in RESERVED_NAMES:
            yield f"{name!r}: not a machine's name (twelve of a-z, 0-9, -; not {sorted(RESERVED_NAMES)})"
        if name in seen:
            yield f"{name!r}: the name is used twice"
        seen.add(name)


def _rack_problems(topology: Topology, rack: RackSpec) -> Iterator[str]:
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
