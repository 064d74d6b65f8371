"""A node's tunnel addresses: which kinds it needs, from which pools, and which one is the present one.

Pure. The cni server assigns and releases (tunnel_lease.py); felix reads the handle and the blocks and
asks `current` which address its device carries and its Node object publishes.
Reference: Calico v3.32.1 `node/pkg/allocateip/allocateip.go`, `libcalico-go/lib/ipam/ipam_types.go`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from felix_py.datastore.felix_configuration import FelixConfiguration
from felix_py.datastore.model import (
    EncapMode,
    HandleId,
    IPAddress,
    IPPool,
    Node,
    NodeName,
    PoolUse,
)
from ipam.pool import containing, enabled, selects_node


class TunnelKind(Enum):
    """Each value is the `type` attribute of its addresses."""

    IPIP = "ipipTunnelAddress"
    VXLAN = "vxlanTunnelAddress"
    VXLAN_V6 = "vxlanV6TunnelAddress"

    @property
    def version(self) -> int:
        """The IP version of its addresses."""
        return 6 if self is TunnelKind.VXLAN_V6 else 4


HANDLE_PREFIXES = {
    "ipipTunnelAddress": "ipip-tunnel-addr-",
    "vxlanTunnelAddress": "vxlan-tunnel-addr-",
    "vxlanV6TunnelAddress": "vxlan-v6-tunnel-addr-",
    "wireguardTunnelAddress": "wireguard-tunnel-addr-",
    "wireguardV6TunnelAddress": "wireguard-v6-tunnel-addr-",
}
"""By the `type` attribute; the node's name follows. WireGuard's are Calico's: recognised, not assigned."""


def handle_of(kind: TunnelKind, node: NodeName) -> HandleId:
    """The handle under which a node holds its address of this kind."""
    return HandleId(f"{HANDLE_PREFIXES[kind.value]}{node}")


def handles_of(node: NodeName) -> tuple[HandleId, ...]:
    """Every handle that a node's tunnel addresses may have."""
    return tuple(HandleId(f"{prefix}{node}") for prefix in HANDLE_PREFIXES.values())


def is_tunnel_of(node: NodeName, handle: HandleId, kind: str) -> bool:
    """Whether an address with this handle and `type` attribute is one of the node's tunnel addresses."""
    return kind in HANDLE_PREFIXES and handle == f"{HANDLE_PREFIXES[kind]}{node}"


def published(kind: TunnelKind, node: Node) -> IPAddress | None:
    """The address of this kind that a Node object tells the others."""
    match kind:
        case TunnelKind.IPIP:
            return node.ipv4_ipip_tunnel_address
        case TunnelKind.VXLAN:
            return node.ipv4_vxlan_tunnel_address
        case TunnelKind.VXLAN_V6:
            return node.ipv6_vxlan_tunnel_address


def wanted_pools(
    kind: TunnelKind, pools: Iterable[IPPool], node: Node, configuration: FelixConfiguration
) -> tuple[IPPool, ...]:
    """The pools for which a node needs an address of this kind, in the order of their names.

    configuration: what holds on this node; None of its switches forces a tunnel that no pool asks for.
    """
    if _switched_off(kind, configuration):
        return ()
    asking = (
        pool
        for pool in pools
        if enabled(pool, kind.version)
        and PoolUse.TUNNEL in pool.allowed_uses
        and _mode(kind, pool) is not EncapMode.NEVER
        and selects_node(pool, node)
    )
    return tuple(sorted(asking, key=lambda pool: pool.name))


def current(
    kind: TunnelKind,
    held: Iterable[IPAddress],
    pools: Iterable[IPPool],
    node: Node,
    configuration: FelixConfiguration,
) -> IPAddress | None:
    """Of the addresses that the node holds under the kind's handle, the one to use; None: none is.

    While an address is replaced it holds two: only one in a wanted pool counts, one that is published
    already before others.
    """
    wanted = wanted_pools(kind, pools, node, configuration)
    fitting = [address for address in held if containing(address, wanted) is not None]
    shown = published(kind, node)
    return shown if shown in fitting else min(fitting, key=int, default=None)


def present(
    held: Mapping[str, Collection[IPAddress]],
    pools: Iterable[IPPool],
    node: Node,
    configuration: FelixConfiguration,
) -> dict[str, IPAddress]:
    """By `type` attribute the address that a node's device should carry: the current one, and where no
    pool wants the tunnel any more, the last one it had."""
    found: dict[str, IPAddress] = {}
    for kind in TunnelKind:
        addresses = held.get(kind.value, ())
        if addresses:
            shown = published(kind, node)
            use = current(kind, addresses, pools, node, configuration)
            if use is None and shown in addresses:
                use = shown
            found[kind.value] = use or min(addresses, key=int)
    return found


def _switched_off(kind: TunnelKind, configuration: FelixConfiguration) -> bool:
    if kind is TunnelKind.IPIP:
        return configuration.ipip_enabled is False
    if kind is TunnelKind.VXLAN_V6 and configuration.ipv6_support is False:
        return True
    return configuration.vxlan_enabled is False


def _mode(kind: TunnelKind, pool: IPPool) -> EncapMode:
    return pool.ipip_mode if kind is TunnelKind.IPIP else pool.vxlan_mode
