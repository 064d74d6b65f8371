"""Builders for BGP tests: a snapshot in one expression, peerings and paths with sensible defaults."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from typing import Any

from bgp.model import Family, Heard, Path, Peering
from bgp.state import Snapshot
from felix_py.datastore.calc.owners import Owners
from felix_py.datastore.calc.reachability import Terms
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    AsNumber,
    Attribute,
    Block,
    IPPool,
    Kind,
    Metadata,
    Node,
    NodeName,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from felix_py.datastore.territory import holding_of

ME = NodeName("node-1")


def node(name: str, address: str | None, address6: str | None = None, **more: Any) -> Node:
    """A node with its session addresses, `10.0.0.1/24`."""
    labels = more.pop("labels", {})
    asn = more.pop("asn", None)
    return Node(
        Metadata(name, labels=labels),
        as_number=None if asn is None else AsNumber(asn),
        ipv4_address=ip_interface(address) if address else None,  # type: ignore[arg-type]
        ipv6_address=ip_interface(address6) if address6 else None,  # type: ignore[arg-type]
        **more,
    )


def pool(name: str, cidr: str, **more: Any) -> IPPool:
    """A pool with blocks of 64 addresses."""
    network = ip_network(cidr)
    return IPPool(Metadata(name), network, 26 if network.version == 4 else 122, **more)


def block(cidr: str, owner: str | None, holders: dict[str, str] | None = None) -> Block:
    """A block affine to a node; `holders` maps address to the node that holds it."""
    network = ip_network(cidr)
    allocations: list[int | None] = [None] * network.num_addresses
    attributes = []
    for index, (address, holder) in enumerate((holders or {}).items()):
        allocations[int(ip_address(address)) - int(network.network_address)] = index
        attributes.append(Attribute(secondary={"node": holder}))
    free = tuple(i for i, a in enumerate(allocations) if a is None)
    affinity = None if owner is None else f"host:{owner}"
    return Block(network, affinity, None, tuple(allocations), free, tuple(attributes), 1, {})


def endpoint(name: str, *addresses: str, on: str = ME) -> WorkloadEndpoint:
    """A pod's endpoint."""
    networks = tuple(ip_network(address) for address in addresses)
    meta = Metadata(name, "default")
    return WorkloadEndpoint(meta, "k8s", NodeName(on), "", "", name, "eth0", networks, "cali1")


def bgp_peer(name: str, **more: Any) -> BGPPeer:
    """A BGPPeer; `peer_ip` may be text."""
    if "peer_ip" in more:
        more["peer_ip"] = ip_address(more["peer_ip"])
    return BGPPeer(Metadata(name), **more)


def snapshot(
    *,
    nodes: Iterable[Node] = (),
    pools: Iterable[IPPool] = (),
    blocks: Iterable[Block] = (),
    pending: Iterable[str] = (),
    endpoints: Iterable[WorkloadEndpoint] = (),
    peers: Iterable[BGPPeer] = (),
    configurations: Iterable[BGPConfiguration] = (),
    terms: Terms | None = None,
) -> Snapshot:
    """A snapshot of node-1; blocks count as confirmed unless named in `pending`."""
    unconfirmed = {ip_network(text) for text in pending}
    blocks = tuple(blocks)
    ours = [b for b in blocks if b.host == ME]
    territory = Owners()
    for each in blocks:
        territory.fold(each.cidr, holding_of(each))
    return Snapshot(
        ME,
        nodes={n.name: n for n in nodes},
        pools={p.name: p for p in pools},
        configurations={c.meta.name: c for c in configurations},
        peers={p.meta.name: p for p in peers},
        blocks={b.cidr: b for b in ours},
        affinities={
            b.cidr: AffinityState.PENDING if b.cidr in unconfirmed else AffinityState.CONFIRMED
            for b in ours
        },
        endpoints={
            ResourceKey(Kind.WORKLOAD_ENDPOINT, e.meta.name, e.meta.namespace): e for e in endpoints
        },
        territory=territory,
        reach_terms=terms or Terms(),
    )


def peering(peer: str, local: str = "10.0.0.1", peer_as: int = 64512, **more: Any) -> Peering:
    """A session of node-1."""
    address = ip_address(peer)
    more.setdefault("families", (Family.IPV4 if address.version == 4 else Family.IPV6,))
    return Peering(
        address,
        ip_address(local),
        more.pop("local_as", 64512),
        peer_as,
        IPv4Address("10.0.0.1"),
        **more,
    )


def path(prefix: str, next_hop: str, *as_path: int, **more: Any) -> Heard:
    """One prefix and the path to it."""
    return Heard((ip_network(prefix),), Path(ip_address(next_hop), as_path, **more))
