"""The cables: which link joins what, with which addresses.

A rack is a bridge `rack0` inside its ToR's namespace with a port per node (named after it), so
nodes of a rack are neighbours on one subnet and the ToR is their gateway. ToRs are joined by a /31
each. etcd stands beside all this: a bridge `mgmt0` in its own namespace and a second link in every
node, so that a broken fabric never looks like a broken etcd, and the other way round; a node's
default route is through its ToR, and pods never leave by the management network. An outside host is a
cable of its ToR with a subnet of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from felix_py.lab import namespaces
from felix_py.lab.addressing import (
    IPInterface,
    etcd_address,
    management_address,
    node_address,
    outside_gateway,
    outside_host,
    reflector_address,
    spine_links,
    subnet,
    tor_address,
    tor_outside,
)
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.topology import OutsideSpec, RackSpec, Topology

ETCD = "etcd"
ROUTER_SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    # A ToR that is the next hop between two nodes of its rack would tell them to go directly.
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv4.fib_multipath_hash_policy=1",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.fib_multipath_hash_policy=1",
    # A cable that is pulled and put back has its IPv6 addresses again, as it has its IPv4 ones.
    "net.ipv6.conf.all.keep_addr_on_down=1",
    "net.ipv6.conf.default.keep_addr_on_down=1",
)


def build(home: Home, topology: Topology) -> None:
    """Make the namespaces of etcd, the routers and outside hosts, and every link between them."""
    outsides = [outside.name for outside in topology.outsides]
    for machine in (ETCD, *_routers(topology), *outsides):
        namespaces.create(home.netns(machine))
    namespaces.batch(
        home.netns(ETCD),
        [
            "link add mgmt0 type bridge",
            _address(etcd_address(topology), "mgmt0"),
            "link set mgmt0 up",
        ],
    )
    for rack in topology.racks:
        _rack(home, rack)
    _spine(home, topology)
    if topology.reflector:
        name = topology.reflector.name
        rack = topology.rack_of(name)
        _plug(home, rack, name)
        own = [reflector_address(topology, version) for version in rack.versions]
        gateways = [tor_address(rack, version) for version in rack.versions]
        _uplink(home, name, own, gateways)
    for outside in topology.outsides:
        _outside(home, topology, outside)


def plug_node(home: Home, topology: Topology, node: str) -> None:
    """Make a node's namespace and its two cables: `eth0` to the rack, `mgmt0` to etcd."""
    namespaces.create(home.netns(node))
    rack = topology.rack_of(node)
    _plug(home, rack, node)
    namespaces.batch(
        home.netns(ETCD),
        [
            _veth(node, "mgmt0", home.netns(node)),
            f"link set {node} master mgmt0 up",
        ],
    )
    namespaces.batch(
        home.netns(node),
        [_address(management_address(topology, node), "mgmt0"), "link set mgmt0 up"],
    )
    own = [node_address(topology, node, version) for version in rack.versions]
    gateways = [
        tor_address(rack, version)
        for version in rack.versions
        if version == 4 or rack.gateway6 == "static"
    ]
    _uplink(home, node, own, gateways)


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
        f"no link between {one} and {other}; links join a node, reflector or outside host with its "
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
    ports += [outside.name for outside in topology.outsides if outside.tor == tor]
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
    outside = [tor_outside(rack, version) for version in rack.versions]
    namespaces.batch(
        netns,
        [
            "link add rack0 type bridge",
            *(_address(tor_address(rack, version), "rack0") for version in rack.versions),
            "link set rack0 up",
            *(f"address add {address} dev lo" for address in outside if address is not None),
        ],
    )


def _spine(home: Home, topology: Topology) -> None:
    for link in spine_links(topology):
        namespaces.batch(
            home.netns(link.first), [_veth(link.second, link.first, home.netns(link.second))]
        )
    for version in topology.versions:
        for link in spine_links(topology, version):
            namespaces.batch(
                home.netns(link.first),
                [_address(link.first_address, link.second), f"link set {link.second} up"],
            )
            namespaces.batch(
                home.netns(link.second),
                [_address(link.second_address, link.first), f"link set {link.first} up"],
            )


def _outside(home: Home, topology: Topology, outside: OutsideSpec) -> None:
    """Cable a host; without knows_pods it has ways to the racks alone."""
    gateways = [outside_gateway(outside, version) for version in outside.versions]
    namespaces.batch(
        home.netns(outside.tor),
        [
            _veth(outside.name, "eth0", home.netns(outside.name)),
            *(_address(gateway, outside.name) for gateway in gateways),
            f"link set {outside.name} up",
        ],
    )
    own = [outside_host(outside, version) for version in outside.versions]
    _uplink(home, outside.name, own, gateways if outside.knows_pods else [])
    if not outside.knows_pods:
        ways = [
            f"route add {subnet(rack, gateway.version)} via {gateway.ip} dev eth0"
            for gateway in gateways
            for rack in topology.racks
            if gateway.version in rack.versions
        ]
        namespaces.batch(home.netns(outside.name), ways)


def _plug(home: Home, rack: RackSpec, machine: str) -> None:
    namespaces.batch(
        home.netns(rack.tor.name),
        [
            _veth(machine, "eth0", home.netns(machine)),
            f"link set {machine} master rack0 up",
        ],
    )


def _uplink(
    home: Home, machine: str, own: Sequence[IPInterface], gateways: Sequence[IPInterface]
) -> None:
    """A machine's addresses on eth0, and default routes through these gateways."""
    namespaces.batch(
        home.netns(machine),
        [
            *(_address(address, "eth0") for address in own),
            "link set eth0 up",
            *(f"route add default via {gateway.ip} dev eth0" for gateway in gateways),
        ],
    )


def _address(address: IPInterface, interface: str) -> str:
    """Who has which address is settled here: nobody needs to look for duplicates first."""
    nodad = " nodad" if address.version == 6 else ""
    return f"address add {address} dev {interface}{nodad}"


def _veth(name: str, peer: str, netns: str) -> str:
    return f"link add {name} type veth peer name {peer} netns {netns}"
