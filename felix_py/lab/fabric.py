"""The cables: which link joins what, with which addresses.

A rack is a bridge `rack0` inside its ToR's namespace with a port per node (named after it), so
nodes of a rack are neighbours on one subnet and the ToR is their gateway. ToRs are joined by a /31
each. etcd stands beside all this: a bridge `mgmt0` in its own namespace and a second link in every
node, so that a broken fabric never looks like a broken etcd, and the other way round; a node's
default route is through its ToR, and pods never leave by the management network.
"""

from __future__ import annotations

from contextlib import suppress

from felix_py.lab import namespaces
from felix_py.lab.addressing import (
    etcd_address,
    management_address,
    node_address,
    reflector_address,
    spine_links,
    tor_address,
)
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.topology import RackSpec, Topology

ETCD = "etcd"
ROUTER_SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    # A ToR that is the next hop between two nodes of its rack would tell them to go directly.
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.fib_multipath_hash_policy=1",
)


def build(home: Home, topology: Topology) -> None:
    """Make the namespaces of etcd and the routers, and every link between them."""
    for machine in (ETCD, *_routers(topology)):
        namespaces.create(home.netns(machine))
    namespaces.batch(
        home.netns(ETCD),
        [
            "link add mgmt0 type bridge",
            f"address add {etcd_address(topology)} dev mgmt0",
            "link set mgmt0 up",
        ],
    )
    for rack in topology.racks:
        _rack(home, rack)
    for link in spine_links(topology):
        namespaces.batch(
            home.netns(link.first),
            [
                _veth(link.second, link.first, home.netns(link.second)),
                f"address add {link.first_address} dev {link.second}",
                f"link set {link.second} up",
            ],
        )
        namespaces.batch(
            home.netns(link.second),
            [f"address add {link.second_address} dev {link.first}", f"link set {link.first} up"],
        )
    if topology.reflector:
        _plug(home, topology.rack_of(topology.reflector.name), topology.reflector.name)
        _address(home, topology, topology.reflector.name, str(reflector_address(topology)))


def plug_node(home: Home, topology: Topology, node: str) -> None:
    """Make a node's namespace and its two cables: `eth0` to the rack, `mgmt0` to etcd."""
    namespaces.create(home.netns(node))
    _plug(home, topology.rack_of(node), node)
    namespaces.batch(
        home.netns(ETCD),
        [
            _veth(node, "mgmt0", home.netns(node)),
            f"link set {node} master mgmt0 up",
        ],
    )
    namespaces.batch(
        home.netns(node),
        [f"address add {management_address(topology, node)} dev mgmt0", "link set mgmt0 up"],
    )
    _address(home, topology, node, str(node_address(topology, node)))


def unplug_node(home: Home, topology: Topology, node: str) -> None:
    """Take both cables away at their far ends; absent is fine.

    The kernel removes a dead namespace's interfaces, and with them their peers, some time after the
    namespace is gone; until then the names would be taken.
    """
    for machine in (topology.rack_of(node).tor.name, ETCD):
        with suppress(LabError):
            namespaces.batch(home.netns(machine), [f"link delete {node}"])


def link_between(topology: Topology, one: str, other: str) -> tuple[str, str]:
    """(machine, its interface) at one end of the cable between two. Raises LabError if none."""
    for first, second in ((one, other), (other, one)):
        if second == ETCD and first in {node.name for _, node in topology.nodes}:
            return first, "mgmt0"
        if (first, second) in {(link.first, link.second) for link in spine_links(topology)}:
            return first, second
        if first in topology.machines and second == topology.rack_of(first).tor.name != first:
            if first in {rack.tor.name for rack in topology.racks}:
                continue
            return second, first
    raise LabError(
        f"no link between {one} and {other}; links join a node or reflector with its "
        "ToR, a node with etcd, and two ToRs"
    )


def set_link(home: Home, machine: str, interface: str, *, up: bool) -> None:
    """Pull a cable or put it back."""
    namespaces.batch(home.netns(machine), [f"link set {interface} {'up' if up else 'down'}"])


def interfaces_of_tor(topology: Topology, tor: str) -> tuple[str, ...]:
    """All of a ToR's cables, by its own names for them."""
    rack = topology.rack_of(tor)
    ports = [node.name for node in rack.nodes]
    if topology.reflector and topology.reflector.rack == rack.name:
        ports.append(topology.reflector.name)
    for link in spine_links(topology):
        if tor == link.first:
            ports.append(link.second)
        elif tor == link.second:
            ports.append(link.first)
    return tuple(ports)


def _routers(topology: Topology) -> list[str]:
    tors = [rack.tor.name for rack in topology.racks]
    return [*tors, topology.reflector.name] if topology.reflector else tors


def _rack(home: Home, rack: RackSpec) -> None:
    netns = home.netns(rack.tor.name)
    namespaces.sysctl(netns, ROUTER_SYSCTLS)
    namespaces.batch(
        netns,
        [
            "link add rack0 type bridge",
            f"address add {tor_address(rack)} dev rack0",
            "link set rack0 up",
            f"address add {rack.tor.outside}/32 dev lo",
        ],
    )


def _plug(home: Home, rack: RackSpec, machine: str) -> None:
    namespaces.batch(
        home.netns(rack.tor.name),
        [
            _veth(machine, "eth0", home.netns(machine)),
            f"link set {machine} master rack0 up",
        ],
    )


def _address(home: Home, topology: Topology, machine: str, address: str) -> None:
    gateway = tor_address(topology.rack_of(machine)).ip
    namespaces.batch(
        home.netns(machine),
        [
            f"address add {address} dev eth0",
            "link set eth0 up",
            f"route add default via {gateway} dev eth0",
        ],
    )


def _veth(name: str, peer: str, netns: str) -> str:
    return f"link add {name} type veth peer name {peer} netns {netns}"
