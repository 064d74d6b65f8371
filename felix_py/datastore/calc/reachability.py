"""Pure: how one node reaches another for a pool, and which daemon writes that route.

felix, bgp and explain all ask here, so that no two of them disagree. Tunnels are a matter of a pair:
both nodes must have published their tunnel address, which a node does only when its device stands and
admits the others; so whoever tunnels is listened to, in whatever order nodes are changed. Subnets are
a matter of a pair, too: Calico looks at the sender's prefix alone, and where two prefixes disagree one
direction is tunnelled and the other is not, which a strict rp_filter drops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import EncapMode, IPAddress, IPInterface, IPPool, Node
from felix_py.datastore.model_bgp import BGPConfiguration


class Backend(Enum):
    """How routes to other nodes come about (the `node.backend` setting; Calico's backends)."""

    BGP = "bgp"
    """BGP writes direct routes, felix tunnels."""
    NONE = "none"
    """No BGP: felix writes all routes, direct inside a subnet and through tunnels across."""
    VXLAN = "vxlan"
    """No BGP: felix serves VXLAN pools alone, as Calico's backend of that name."""


class Way(Enum):
    """How packets travel between two nodes."""

    DIRECT = "direct"
    IPIP = "ipip"
    VXLAN = "vxlan"
    NONE = "none"


class Writer(Enum):
    """Whose route it is."""

    FELIX = "felix"
    BGP = "bgp"


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all pairs of this node.

    felix_programs: FelixConfiguration programClusterRoutes Enabled, or BGPConfiguration's Disabled.
    """

    backend: Backend = Backend.BGP
    felix_programs: bool = False


def terms_of(
    backend: Backend, felix: FelixConfiguration, bgp: Mapping[str, BGPConfiguration]
) -> Terms:
    """The terms by this node's backend, its effective FelixConfiguration and all BGPConfigurations.

    Calico wants both switches set alike; either of them hands the routes to felix here.
    """
    default = bgp.get("default")
    handed_over = default is not None and default.program_cluster_routes is False
    return Terms(backend, felix_programs=handed_over or felix.program_cluster_routes is True)


@dataclass(frozen=True, slots=True)
class Reach:
    """The way from one node to another.

    far_end: the other node's address, a direct route's next hop and an outer destination.
    gateway: what the route says `via`: the far end, or the VTEP's address in a VXLAN.
    reason: why there is none, or why it is another way than the pool asks for; for people.
    """

    way: Way
    writer: Writer
    far_end: IPAddress | None = None
    gateway: IPAddress | None = None
    reason: str = ""


def reach(me: Node, other: Node, pool: IPPool, terms: Terms) -> Reach:
    """How this node reaches another one's addresses of a pool. Disabled pools are reached, too."""
    version = pool.cidr.version
    mine, theirs = address_of(me, version), address_of(other, version)
    if mine is None or theirs is None:
        lacking = me.name if mine is None else other.name
        return _no_way(pool, terms, f"node {lacking} has no IPv{version} address")
    near, why_far = _same_subnet(me, other, mine, theirs)
    tunnel, mode = _encapsulation(pool)
    if tunnel is None or (mode is EncapMode.CROSS_SUBNET and near):
        return _direct(pool, terms, theirs.ip, near=near, why_far=why_far)
    if terms.backend is Backend.VXLAN and tunnel is not Way.VXLAN:
        return Reach(Way.NONE, Writer.FELIX, theirs.ip, reason="backend vxlan serves VXLAN pools")
    for node in (me, other):
        if tunnel_address(node, tunnel, version) is None:
            missing = f"node {node.name} has not published its {tunnel.value} tunnel address"
            direct = _direct(pool, terms, theirs.ip, near=near, why_far=why_far)
            reason = missing if direct.way is Way.DIRECT else f"{missing}, and {direct.reason}"
            return Reach(direct.way, direct.writer, direct.far_end, direct.gateway, reason)
    gateway = theirs.ip if tunnel is Way.IPIP else tunnel_address(other, tunnel, version)
    return Reach(tunnel, Writer.FELIX, theirs.ip, gateway, why_far if near is None else "")


def address_of(node: Node, version: int) -> IPInterface | None:
    """The node's address of an IP version, with its subnet."""
    return node.ipv4_address if version == 4 else node.ipv6_address


def tunnel_address(node: Node, way: Way, version: int) -> IPAddress | None:
    """The address a node published for a kind of tunnel."""
    if way is Way.IPIP:
        return node.ipv4_ipip_tunnel_address if version == 4 else None
    return node.ipv4_vxlan_tunnel_address if version == 4 else node.ipv6_vxlan_tunnel_address


def encapsulates(pool: IPPool) -> bool:
    """The pool asks for tunnels, always or across subnets."""
    return _encapsulation(pool)[0] is not None


def is_vxlan(pool: IPPool) -> bool:
    """A pool whose routes are felix's, whatever the backend."""
    return pool.vxlan_mode is not EncapMode.NEVER


def _encapsulation(pool: IPPool) -> tuple[Way | None, EncapMode]:
    if pool.vxlan_mode is not EncapMode.NEVER:
        return Way.VXLAN, pool.vxlan_mode
    if pool.ipip_mode is not EncapMode.NEVER:
        return Way.IPIP, pool.ipip_mode
    return None, EncapMode.NEVER


def _same_subnet(
    me: Node, other: Node, mine: IPInterface, theirs: IPInterface
) -> tuple[bool | None, str]:
    """Whether each prefix contains the other's address (None: they disagree), and why not."""
    here, there = theirs.ip in mine.network, mine.ip in theirs.network
    if here and there:
        return True, ""
    if here or there:
        return None, (
            f"{me.name} is {mine} and {other.name} is {theirs}: by one prefix they share a subnet, by "
            "the other they do not; correct the node whose prefix is wrong"
        )
    return False, f"{me.name} and {other.name} are on different subnets"


def _direct(
    pool: IPPool, terms: Terms, next_hop: IPAddress, *, near: bool | None, why_far: str
) -> Reach:
    """The way without a tunnel: felix knows the next hop only inside a subnet, BGP everywhere."""
    felix_serves = is_vxlan(pool) or (
        terms.backend is Backend.NONE or (terms.backend is Backend.BGP and terms.felix_programs)
    )
    if felix_serves and near:
        return Reach(Way.DIRECT, Writer.FELIX, next_hop, next_hop)
    if terms.backend is Backend.BGP:
        return Reach(Way.DIRECT, Writer.BGP, next_hop, next_hop, "" if near else why_far)
    if terms.backend is Backend.VXLAN and not is_vxlan(pool):
        return Reach(Way.NONE, Writer.FELIX, next_hop, reason="backend vxlan serves VXLAN pools")
    return Reach(Way.NONE, Writer.FELIX, next_hop, reason=f"{why_far}, and there is no BGP")


def _no_way(pool: IPPool, terms: Terms, reason: str) -> Reach:
    by_bgp = terms.backend is Backend.BGP and not is_vxlan(pool)
    return Reach(Way.NONE, Writer.BGP if by_bgp else Writer.FELIX, reason=reason)
