"""The pod's side of its link: what is sent into the pod's namespace, and what is read there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network

from felix_py.kernel import sysctl
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_batch import put_address, put_neighbour, set_link
from felix_py.kernel.link_dump import (
    address_dump_request,
    link_request,
    read_address,
    read_link,
)
from felix_py.kernel.link_index import index_of
from felix_py.kernel.model import (
    MAIN_TABLE,
    Address,
    IPAddress,
    IPNetwork,
    Link,
    NextHop,
    PodSpec,
    PutRoute,
    Route,
    RouteKey,
    Scope,
)
from felix_py.kernel.namespace import entered
from felix_py.kernel.netlink_batch import pack
from felix_py.kernel.netlink_format import AF_INET, AF_INET6, Message
from felix_py.kernel.netlink_wire import NetlinkSocket
from felix_py.kernel.route_dump import RouteReader, route_dump_request

POD_ROUTE_PROTOCOL = 3
"""RTPROT_BOOT, as every CNI plugin's: the pod's namespace is not ours to mark."""
IPV6_METRIC = 1024
"""What the kernel makes of metric 0."""
_ABSENT = frozenset({errno.ENODEV, errno.ENODATA})
_EVERYTHING: dict[int, IPNetwork] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}


@contextmanager
def pod_socket(namespace_fd: int) -> Iterator[NetlinkSocket]:
    """A netlink socket of the pod's namespace; the thread is there only until the socket is open.

    Raises KernelRefused.
    """
    with _visited(namespace_fd):
        opened = NetlinkSocket()
    with opened:
        yield opened


@contextmanager
def configurable(namespace_fd: int, spec: PodSpec) -> Iterator[tuple[NetlinkSocket, int]]:
    """The same, with the index of the spec's link; its settings are written on the way.

    Raises KernelRefused, ENODEV when the link is not there.
    """
    with _visited(namespace_fd):
        index = index_of(spec.pod_name)
        if index is None:
            raise KernelRefused(f"pod's link {spec.pod_name}", errno.ENODEV)
        _write_settings(spec)
        opened = NetlinkSocket()
    with opened:
        yield opened, index


@contextmanager
def _visited(namespace_fd: int) -> Iterator[None]:
    try:
        with entered(namespace_fd):
            yield
    except OSError as error:
        raise KernelRefused("enter the pod's namespace", error.errno or errno.EIO) from error


def find_link(opened: NetlinkSocket, name: str) -> Link | None:
    """The link of this name in the socket's namespace, None when there is none."""
    try:
        data = opened.ask(f"find link {name}", [link_request(name)])
    except KernelRefused as refused:
        if refused.errno in _ABSENT:
            return None
        raise
    return read_link(data, 0, len(data))


def pod_messages(spec: PodSpec, index: int) -> list[Message]:
    """Up, addresses, permanent neighbours, on-link gateways, default routes: in this order. Pure."""
    messages = [set_link(index, up=True)]
    for address in spec.addresses:
        interface = ip_interface(f"{address}/{address.max_prefixlen}")
        messages.append(put_address(index, interface))
    for version in sorted({address.version for address in spec.addresses} & spec.gateways.keys()):
        gateway = spec.gateways[version]
        messages.append(put_neighbour(index, gateway.packed, spec.gateway_mac))
        messages += [pack(PutRoute(route, True)) for route in _routes(spec, gateway, index)]
    return messages


def inspect(
    opened: NetlinkSocket, name: str
) -> tuple[Link | None, tuple[Address, ...], tuple[Route, ...]]:
    """The link of this name, its addresses, and the routes of the main table through it."""
    link = find_link(opened, name)
    if link is None:
        return None, (), ()
    addresses = opened.dump("list addresses", address_dump_request(), read_address)
    reader = RouteReader(MAIN_TABLE, None)
    routes = [
        route
        for family in (AF_INET, AF_INET6)
        for route in _dump_routes(opened, family, reader)
        if any(hop.ifindex == link.index for hop in route.next_hops)
    ]
    mine = tuple(address for address in addresses if address.ifindex == link.index)
    return link, mine, tuple(routes)


def _dump_routes(opened: NetlinkSocket, family: int, reader: RouteReader) -> list[Route]:
    try:
        request = route_dump_request(family, MAIN_TABLE, None)
        return opened.dump("list routes", request, reader.read)
    except KernelRefused as refused:
        if refused.errno in {errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}:
            return []
        raise


def _routes(spec: PodSpec, gateway: IPAddress, index: int) -> Iterator[Route]:
    four = gateway.version == 4
    metric = 0 if four else IPV6_METRIC
    yield Route(
        RouteKey(ip_network(f"{gateway}/{gateway.max_prefixlen}"), metric),
        POD_ROUTE_PROTOCOL,
        next_hops=(NextHop(index),),
        scope=Scope.LINK if four else Scope.UNIVERSE,
    )
    if spec.default_routes:
        yield Route(
            RouteKey(_EVERYTHING[gateway.version], metric),
            POD_ROUTE_PROTOCOL,
            next_hops=(NextHop(index, gateway),),
        )


def _write_settings(spec: PodSpec) -> None:
    """What only files can say: no forwarding unless allowed; IPv6 switched on when it has an address.

    Runtimes start namespaces with `disable_ipv6`; a pod takes its routes from us, not from
    router advertisements of whoever shares its link.
    """
    versions = {address.version for address in spec.addresses}
    forwarding = int(spec.allow_forwarding)
    if 4 in versions:
        sysctl.write_if_there("ipv4/conf/{}/forwarding", "all", forwarding)
    if 6 in versions:
        sysctl.write_if_there("ipv6/conf/{}/forwarding", "all", forwarding)
        sysctl.write_if_there("ipv6/conf/{}/disable_ipv6", spec.pod_name, 0)
        sysctl.write_if_there("ipv6/conf/{}/accept_ra", spec.pod_name, 0)
