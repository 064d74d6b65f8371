"""Whose a block is, and which of its addresses others hold: all that a node needs of blocks that are
not its own. Pure.

With thousands of nodes every daemon hears of every block. Of another's block it keeps this, read in a
fraction of the time and memory that the block itself takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import msgspec

from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.codec_json import loads
from felix_py.datastore.keys import BlockKey
from felix_py.datastore.model import Block, IPAddress, IPNetwork, NodeName

HOST = "host:"
NODE_ATTRIBUTE = "node"
TYPE_ATTRIBUTE = "type"

IPIP_TUNNEL = "ipipTunnelAddress"
VXLAN_TUNNEL = "vxlanTunnelAddress"
VXLAN_TUNNEL_V6 = "vxlanV6TunnelAddress"
TUNNEL_TYPES = frozenset({IPIP_TUNNEL, VXLAN_TUNNEL, VXLAN_TUNNEL_V6})
"""The attribute `type` of nodes' tunnel addresses (Calico v3.32 `libcalico-go/lib/ipam`)."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A block as seen by those whose it is not.

    host: the node it is affine to. guests: single addresses (/32, /128) that another node holds.
    tunnels: (node, type) -> the node's tunnel addresses of that type that lie in this block; while one
    is replaced a node has two.
    """

    host: NodeName | None
    guests: Mapping[IPNetwork, NodeName] = field(default_factory=dict)
    tunnels: Mapping[tuple[NodeName, str], tuple[IPAddress, ...]] = field(default_factory=dict)


class _Attribute(msgspec.Struct):
    secondary: dict[str, str] | None = None


class _Block(msgspec.Struct):
    allocations: list[int | None]
    affinity: str | None = None
    attributes: list[_Attribute] | None = None


_BLOCK = msgspec.json.Decoder(_Block)


def holding_of(block: Block) -> Holding:
    """What others need of a block that was decoded whole."""
    secondaries = [attribute.secondary for attribute in block.attributes]
    return _holding(block.cidr, block.affinity, block.allocations, secondaries)


def decode_holding(key: BlockKey, raw: bytes) -> Holding:
    """A foreign block's owner and guests; nothing else of it is checked. Raises BadField."""
    wire = loads(raw, _BLOCK)
    if len(wire.allocations) > key.cidr.num_addresses:
        raise BadField("allocations", "has more entries than the block addresses; repair the block")
    secondaries = [attribute.secondary or {} for attribute in wire.attributes or ()]
    return _holding(key.cidr, wire.affinity, wire.allocations, secondaries)


def _holding(
    cidr: IPNetwork,
    affinity: str | None,
    allocations: Iterable[int | None],
    secondaries: list[Mapping[str, str]] | list[dict[str, str]],
) -> Holding:
    host = NodeName(affinity.removeprefix(HOST)) if affinity and affinity.startswith(HOST) else None
    telling = {
        index
        for index, secondary in enumerate(secondaries)
        if secondary.get(NODE_ATTRIBUTE, host) != host
        or secondary.get(TYPE_ATTRIBUTE) in TUNNEL_TYPES
    }
    if not telling:
        return Holding(host)
    guests: dict[IPNetwork, NodeName] = {}
    tunnels: dict[tuple[NodeName, str], tuple[IPAddress, ...]] = {}
    first = int(cidr.network_address)
    for ordinal, index in enumerate(allocations):
        if index not in telling or index is None:
            continue
        secondary = secondaries[index]
        node = NodeName(secondary.get(NODE_ATTRIBUTE, host or ""))
        kind = secondary.get(TYPE_ATTRIBUTE, "")
        address = _address(cidr, first + ordinal)
        if node != host:
            guests[ip_network(address)] = node
        if kind in TUNNEL_TYPES:
            tunnels[node, kind] = (*tunnels.get((node, kind), ()), address)
    return Holding(host, guests, tunnels)


def _address(cidr: IPNetwork, number: int) -> IPAddress:
    return ip_address(number.to_bytes(4 if cidr.version == 4 else 16, "big"))
