"""Small values for felix's tests."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_interface, ip_network
from typing import TypeVar

from felix_py.agent.snapshot import Claim, Snapshot
from felix_py.datastore.changes import Change
from felix_py.datastore.keys import BlockKey, ResourceKey
from felix_py.datastore.model import (
    AffinityState,
    Block,
    Kind,
    Metadata,
    Node,
    NodeName,
    Stored,
    WorkloadEndpoint,
)
from felix_py.datastore.values import Value
from felix_py.kernel.model import Address, Link, NextHop, Route, RouteKey, Scope

T = TypeVar("T")

ME = NodeName("worker-1")
OTHER = NodeName("worker-2")


def endpoint_key(name: str) -> ResourceKey:
    return ResourceKey(Kind.WORKLOAD_ENDPOINT, f"worker--1-k8s-{name}-eth0", "default")


def endpoint(
    name: str, *addresses: str, container: str = "c1", node: NodeName = ME, link: str = "cali1"
) -> WorkloadEndpoint:
    return WorkloadEndpoint(
        meta=Metadata(name, "default"),
        orchestrator="k8s",
        node=node,
        workload="",
        container_id=container,
        pod=name,
        endpoint="eth0",
        networks=tuple(ip_network(address) for address in addresses),
        interface_name=link,
    )


def stored(value: T, create_revision: int = 1, mod_revision: int = 1) -> Stored[T]:
    return Stored(value, b"{}", create_revision, mod_revision)


def change(value: Value | None, create_revision: int = 1) -> Change:
    return Change(None if value is None else stored(value, create_revision))


def cali(name: str = "cali1", index: int = 5, alias: str = "net.c1", *, up: bool = True) -> Link:
    return Link(index, name, "veth", alias, up=up)


def block(cidr: str, node: NodeName | None = ME) -> Block:
    network = ip_network(cidr)
    size = network.num_addresses
    return Block(
        network,
        None if node is None else f"host:{node}",
        None,
        (None,) * size,
        tuple(range(size)),
        (),
        1,
        {},
    )


def block_key(cidr: str) -> BlockKey:
    return BlockKey(ip_network(cidr))


def snapshot_of(claims: Iterable[Claim], *links: Link) -> Snapshot:
    by_address: dict[object, dict[ResourceKey, Claim]] = {}
    by_link: dict[str, dict[ResourceKey, Claim]] = {}
    for claim in claims:
        for address in claim.endpoint.networks:
            by_address.setdefault(address, {})[claim.key] = claim
        by_link.setdefault(claim.endpoint.interface_name, {})[claim.key] = claim
    return Snapshot(
        ME,
        claims=by_address,  # type: ignore[arg-type]
        interfaces=by_link,
        links={link.name: link for link in links},
    )


def with_block(cidr: str, affinity: AffinityState | None, node: NodeName | None = ME) -> Snapshot:
    network = ip_network(cidr)
    return Snapshot(
        ME,
        blocks={network: block(cidr, node)},
        affinities={} if affinity is None else {network: affinity},
    )


def node(name: NodeName, address: str | None) -> Node:
    return Node(Metadata(name), ipv4_address=ip_interface(address) if address else None)  # type: ignore[arg-type]


def address(ifindex: int, text: str, scope: Scope = Scope.UNIVERSE, **flags: bool) -> Address:
    return Address(ifindex, ip_interface(text), scope, **flags)


def underlay(
    prefix: str,
    ifindex: int,
    gateway: str | None = None,
    metric: int = 0,
    source: str | None = None,
) -> Route:
    return Route(
        RouteKey(ip_network(prefix), metric),
        protocol=3,
        next_hops=(NextHop(ifindex, None if gateway is None else ip_interface(gateway).ip),),
        source=None if source is None else ip_interface(source).ip,
    )
