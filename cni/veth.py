"""A pod's link pair, addresses and host routes, through the kernel's ports.

Things that have gone wrong for others, and that this module is shaped by:
- a link of the same name may belong to another container: only the alias says whose it is;
- proxy ARP does not answer on a host without a default route: the pod gets a permanent neighbour;
- deleting one veth waits some 20 ms for the kernel: the port deletes what meets in one request, and
  waits until the link is gone, not until its memory is free.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

from cni.errors import LinkTaken, UnknownContainer
from cni.together import Together
from felix_py.datastore.model import HandleId, IPAddress
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import Link, PodSpec, PutRoute, Route, VethSpec
from felix_py.kernel.ownership import FELIX, HOST_MAC
from felix_py.kernel.pod_route import pod_route
from felix_py.kernel.port import Kernel, PodLinks

GATEWAYS: dict[int, IPAddress] = {
    4: IPv4Address("169.254.1.1"),
    6: IPv6Address("fe80::ecee:eeff:feee:eeee"),
}
"""What pods send to (Calico's convention); the IPv6 one is the link-local address of HOST_MAC."""

DEFAULT_ROUTES = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}

NS_GET_NSTYPE = 0xB703
CLONE_NEWNET = 0x40000000
"""linux/nsfs.h, linux/sched.h: how a descriptor says that it is a network namespace."""


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """What a pod's network shall be."""

    handle: HandleId
    host_link: str
    ifname: str
    mac: str
    mtu: int
    addresses: tuple[IPAddress, ...]

    @property
    def pod_spec(self) -> PodSpec:
        """The pod's side."""
        gateways: dict[int, IPAddress] = {
            address.version: GATEWAYS[address.version] for address in self.addresses
        }
        return PodSpec(self.ifname, self.addresses, gateways, gateway_mac=HOST_MAC)

    @property
    def veth_spec(self) -> VethSpec:
        """The pair."""
        return VethSpec(
            self.host_link, self.ifname, self.handle, self.mtu, host_mac=HOST_MAC, pod_mac=self.mac
        )


@dataclass(slots=True)
class _RouteOrder:
    """A route to write, and why it was refused if it was."""

    route: Route
    refusal: KernelRefused | None = None


class PodVeths:
    """Builds, recognises and removes pods' links. Safe to use from several threads."""

    def __init__(self, kernel: Kernel, links: PodLinks) -> None:
        self._kernel = kernel
        self._links = links
        self._forgetting = Together(links.forget_connections)
        self._routing = Together(self._write_routes)
        own = Path("/proc/thread-self/ns/net").stat()
        self._own_namespace = (own.st_dev, own.st_ino)

    def vet_namespace(self, descriptor: int | None, path: str) -> int:
        """The descriptor if it is a network namespace and not the node's. Raises UnknownContainer."""
        if descriptor is None:
            raise UnknownContainer(f"CNI_NETNS: {path!r} came without an open descriptor")
        try:
            is_network = fcntl.ioctl(descriptor, NS_GET_NSTYPE) == CLONE_NEWNET
        except OSError:
            is_network = False
        if not is_network:
            raise UnknownContainer(f"CNI_NETNS: {path!r} is not a network namespace")
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino) == self._own_namespace:
            raise UnknownContainer(f"CNI_NETNS: {path!r} is the node's own network namespace")
        return descriptor

    def find(self, host_link: str) -> Link | None:
        """The link with this name, whoever owns it."""
        return self._links.find(host_link)

    def build(self, wanted: PodNetwork, namespace: int, undo: ExitStack) -> int:
        """The pair with addresses and routes, pod's side first; answers the host side's index."""
        try:
            index = self._links.create(wanted.veth_spec, namespace)
        except KernelRefused as error:
            if error.errno == errno.EEXIST:
                raise LinkTaken(
                    f"{wanted.host_link} on the node or {wanted.ifname} in the pod exists already"
                ) from error
            raise
        undo.callback(self.remove, index)
        self._links.configure_pod(wanted.pod_spec, namespace)
        self.put_routes(wanted, index)
        return index

    def put_routes(self, wanted: PodNetwork, index: int) -> None:
        """felix's own route per address, exclusively; one that stands already is adopted."""
        orders = [_RouteOrder(pod_route(address, index)) for address in wanted.addresses]
        self._routing.do(orders)
        for order in orders:
            if order.refusal is not None:
                self._settle_route(order.route, order.refusal)

    def differences(self, wanted: PodNetwork, namespace: int) -> list[str]:
        """What is not as wished, for people; empty: everything stands."""
        host = self._links.find(wanted.host_link)
        if host is None or host.alias != wanted.handle:
            return [f"{wanted.host_link}: missing, or not this container's"]
        found = _host_differences(host, wanted)
        pod, addresses, routes = self._links.inspect_pod(wanted.ifname, namespace)
        if pod is None:
            return [*found, f"{wanted.ifname}: missing in the pod"]
        if not pod.up or pod.mac != wanted.mac or pod.mtu != wanted.mtu:
            found.append(f"{wanted.ifname}: down, or its MAC or MTU was changed")
        present = {address.interface.ip for address in addresses}
        found += [
            f"{wanted.ifname}: address {address} is missing"
            for address in wanted.addresses
            if address not in present
        ]
        defaults = {route.key.prefix for route in routes}
        found += [
            f"{wanted.ifname}: the default route of IPv{version} is missing"
            for version in sorted({address.version for address in wanted.addresses})
            if DEFAULT_ROUTES[version] not in defaults
        ]
        return found + self._route_differences(wanted, host.index)

    def remove(self, index: int) -> None:
        """Delete the pair; its addresses and routes go with it."""
        self._links.delete([index])

    def forget_connections(self, addresses: Sequence[IPAddress]) -> None:
        """Drop the tracked connections of these addresses: the next owner must not inherit them."""
        if addresses:
            self._forgetting.do(addresses)

    def _write_routes(self, orders: Sequence[_RouteOrder]) -> None:
        refusals = self._kernel.change_routes([PutRoute(order.route) for order in orders])
        for order, refusal in zip(orders, refusals, strict=True):
            order.refusal = refusal

    def _route_differences(self, wanted: PodNetwork, index: int) -> list[str]:
        routes = [pod_route(address, index) for address in wanted.addresses]
        standing = self._kernel.routes_at(routes)
        return [
            f"{route.key.prefix}: the node's route to {wanted.host_link} is missing"
            for route in routes
            if route not in standing
        ]

    def _settle_route(self, route: Route, refusal: KernelRefused) -> None:
        if refusal.errno != errno.EEXIST:
            raise refusal
        standing = [one for one in self._kernel.routes_at([route]) if one.key == route.key]
        if route in standing:
            return
        if any(one.protocol != FELIX.route_protocol for one in standing):
            raise LinkTaken(
                f"{route.key.prefix}: a route that is not ours stands at metric {route.key.metric}; "
                "remove it"
            )
        [again] = self._kernel.change_routes([PutRoute(route, replaces_ours=True)])
        if again is not None:
            raise again


def _host_differences(host: Link, wanted: PodNetwork) -> list[str]:
    found = []
    if not host.up:
        found.append(f"{wanted.host_link}: down")
    if host.mtu != wanted.mtu:
        found.append(f"{wanted.host_link}: MTU {host.mtu} instead of {wanted.mtu}")
    return found
