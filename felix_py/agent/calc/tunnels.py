"""Pure: which tunnel devices this node should have, and what each should be.

Source of which are wanted: Calico's `calc` (encapsulation resolver) and FelixConfiguration's switches,
as mtu.enabled_encapsulations has them. Of the address: what IPAM holds for this node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from felix_py.agent.calc.mtu import Encapsulation, Mtu
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.calc import vtep
from felix_py.datastore.calc.reachability import Way, address_of, tunnel_address
from felix_py.datastore.felix_configuration import DEFAULT_VXLAN_PORT, DEFAULT_VXLAN_VNI
from felix_py.datastore.model import EncapMode, IPAddress, IPInterface, IPPool
from felix_py.datastore.territory import IPIP_TUNNEL, VXLAN_TUNNEL, VXLAN_TUNNEL_V6
from felix_py.kernel.model import Link
from felix_py.kernel.ownership import IPIP_LINK, VXLAN_LINKS
from felix_py.kernel.tunnel_model import TunnelWish, Vtep, VxlanShape

STRICT = 1
"""rp_filter: what comes in by another link than the answer would leave by is dropped."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What tells the tunnels apart. `address_type` is IPAM's name for its addresses."""

    device: str
    link_kind: str
    version: int
    address_type: str
    way: Way


PROFILES: Mapping[Encapsulation, Profile] = {
    Encapsulation.IPIP: Profile(IPIP_LINK, "ipip", 4, IPIP_TUNNEL, Way.IPIP),
    Encapsulation.VXLAN: Profile(VXLAN_LINKS[4], "vxlan", 4, VXLAN_TUNNEL, Way.VXLAN),
    Encapsulation.VXLAN6: Profile(VXLAN_LINKS[6], "vxlan", 6, VXLAN_TUNNEL_V6, Way.VXLAN),
}


@dataclass(frozen=True, slots=True)
class TunnelDecision:
    """Wishes for the enabled tunnels that can be built; `lacking` says what one waits for."""

    wishes: Mapping[Encapsulation, TunnelWish] = field(default_factory=dict)
    lacking: Mapping[Encapsulation, str] = field(default_factory=dict)


def decide(snapshot: Snapshot, mtu: Mtu) -> TunnelDecision:
    """What every enabled tunnel should be on this node."""
    wishes: dict[Encapsulation, TunnelWish] = {}
    lacking: dict[Encapsulation, str] = {}
    for kind in mtu.enabled:
        profile = PROFILES[kind]
        if profile.version == 6 and snapshot.configuration.ipv6_support is False:
            continue
        shape, why = _shape(profile, snapshot)
        if why:
            lacking[kind] = why
            continue
        address = snapshot.tunnel_addresses.get(profile.address_type)
        if address is None:
            lacking[kind] = "IPAM has not given this node its tunnel address yet"
        wishes[kind] = _wish(kind, snapshot, shape, address, mtu.tunnels[kind])
    return TunnelDecision(wishes, lacking)


def _wish(
    kind: Encapsulation,
    snapshot: Snapshot,
    shape: VxlanShape | None,
    address: IPAddress | None,
    mtu: int,
) -> TunnelWish:
    profile = PROFILES[kind]
    mine = snapshot.own_node
    if shape is None or mine is None:
        return TunnelWish(profile.device, profile.link_kind, mtu, address)
    return TunnelWish(
        profile.device,
        profile.link_kind,
        mtu,
        address,
        vtep.mac_of(mine, profile.version),
        shape,
        _remotes(profile, snapshot),
    )


def _shape(profile: Profile, snapshot: Snapshot) -> tuple[VxlanShape | None, str]:
    """The shape (None for IPIP), or why there can be no device yet."""
    mine = snapshot.own_node
    own = None if mine is None else address_of(mine, profile.version)
    if own is None:
        return None, f"this node has no IPv{profile.version} address"
    if profile.way is Way.IPIP:
        return None, ""
    parent = snapshot.uplinks.get(profile.version)
    if parent is None:
        return None, f"this node's address {own.ip} is on no link of this host"
    configuration = snapshot.configuration
    return VxlanShape(
        configuration.vxlan_vni or DEFAULT_VXLAN_VNI,
        configuration.vxlan_port or DEFAULT_VXLAN_PORT,
        own.ip,
        parent,
    ), ""


def _remotes(profile: Profile, snapshot: Snapshot) -> dict[IPAddress, Vtep]:
    """The other nodes that published their end of the tunnel."""
    found: dict[IPAddress, Vtep] = {}
    for name, stored in snapshot.nodes.items():
        node = stored.value
        inside = tunnel_address(node, profile.way, profile.version)
        outside = address_of(node, profile.version)
        if name != snapshot.me and inside is not None and outside is not None:
            found[inside] = Vtep(vtep.mac_of(node, profile.version), outside.ip)
    return found


def users(kind: Encapsulation, snapshot: Snapshot) -> list[str]:
    """The pools that ask for a tunnel, each with its mode, for people."""
    return [
        f"pool {pool.name}, {_mode(kind, pool)}"
        for pool in sorted(snapshot.pools.values(), key=lambda pool: pool.name)
        if _asks(kind, pool)
    ]


def _asks(kind: Encapsulation, pool: IPPool) -> bool:
    if pool.cidr.version != PROFILES[kind].version:
        return False
    mode = pool.ipip_mode if kind is Encapsulation.IPIP else pool.vxlan_mode
    return mode is not EncapMode.NEVER


def _mode(kind: Encapsulation, pool: IPPool) -> str:
    if kind is Encapsulation.IPIP:
        return f"ipipMode {pool.ipip_mode.value}"
    return f"vxlanMode {pool.vxlan_mode.value}"


def advice(
    snapshot: Snapshot, decision: TunnelDecision, links: Mapping[int, Link], everywhere: int
) -> Iterator[str]:
    """What harms tunnels or a change between them and direct routes, one sentence each.

    links: the host's by index; everywhere: rp_filter of `all`, which outweighs a link's smaller one.
    """
    if not decision.wishes and not decision.lacking:
        return
    uplink = links.get(snapshot.uplinks.get(4, 0))
    own_filter = None if uplink is None else uplink.settings.rp_filter
    if uplink is not None and own_filter is not None and max(own_filter, everywhere) == STRICT:
        yield (
            f"{uplink.name} has a strict rp_filter: packets are lost while a pair of nodes changes "
            f"between tunnel and direct routes; set net.ipv4.conf.{uplink.name}.rp_filter=2 before"
        )
    mine = snapshot.own_node
    for kind in sorted(decision.wishes, key=lambda kind: kind.value):
        own = None if mine is None else address_of(mine, PROFILES[kind].version)
        if own is not None and own.network.prefixlen == own.max_prefixlen:
            yield from _alone(kind, own, snapshot)


def _alone(kind: Encapsulation, own: IPInterface, snapshot: Snapshot) -> Iterator[str]:
    for pool in sorted(snapshot.pools.values(), key=lambda pool: pool.name):
        mode = pool.ipip_mode if kind is Encapsulation.IPIP else pool.vxlan_mode
        if _asks(kind, pool) and mode is EncapMode.CROSS_SUBNET:
            yield (
                f"this node's address is {own}, a subnet of its own: {_mode(kind, pool)} of pool {pool.name} "
                "tunnels to every node; give the node's address its real prefix"
            )
