"""Which far VTEPs get a route of their own."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface, ip_network

from felix_py.agent.calc import vtep_routes
from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.model import EncapMode, IPPool, Metadata, Node, NodeName, PoolName
from felix_py.kernel.model import Link, NextHop
from tests.unit.agent.builders import ME, stored

DEVICE = Link(7, "vxlan-v6.calico", "vxlan", up=True)
SIX, FOUR = ip_network("fd00:10::/112"), ip_network("10.244.0.0/16")


def node(name: str, address: str, vtep: str | None) -> Node:
    return Node(
        Metadata(name),
        ipv6_address=ip_interface(address),  # type: ignore[arg-type]
        ipv6_vxlan_tunnel_address=ip_interface(vtep).ip if vtep else None,  # type: ignore[arg-type]
    )


NODES = (
    node(ME, "fd01::1/64", "fd00:10::1"),
    node("near", "fd01::2/64", "fd00:10::41"),
    node("far", "fd02::3/64", "fd00:10::81"),
    node("silent", "fd02::4/64", None),
)


def snapshot(mode: EncapMode, *, device: Link = DEVICE) -> Snapshot:
    pools = [
        IPPool(Metadata("six"), SIX, 122, vxlan_mode=mode),
        IPPool(Metadata("four"), FOUR, 26, vxlan_mode=EncapMode.ALWAYS),
    ]
    return Snapshot(
        ME,
        nodes={NodeName(one.name): stored(one) for one in NODES},
        pools={PoolName(pool.meta.name): pool for pool in pools},
        links={device.name: device},
    )


def vteps(mode: EncapMode, *, device: Link = DEVICE) -> list[str]:
    found = vtep_routes.routes(snapshot(mode, device=device))
    assert all(route.next_hops == (NextHop(7),) for route in found.values())
    assert all(route.key == key for key, route in found.items())
    return [str(key.prefix) for key in found]


def test_a_vtep_has_a_route_on_the_device_where_some_pool_is_reached_through_it() -> None:
    assert vteps(EncapMode.ALWAYS) == ["fd00:10::41/128", "fd00:10::81/128"]
    assert vteps(EncapMode.CROSS_SUBNET) == ["fd00:10::81/128"]


def test_without_an_ipv6_pool_in_vxlan_or_its_device_there_are_none() -> None:
    assert vteps(EncapMode.NEVER) == []
    assert vteps(EncapMode.ALWAYS, device=replace(DEVICE, up=False)) == []
    assert vtep_routes.routes(Snapshot(ME)) == {}
