"""The route of a local pod's address: felix and the CNI server write exactly the same one.

CNI adds it before it answers the runtime, felix finds it in the kernel and adopts it. Were they
to differ in any field, felix would delete and add a route under a pod that is already running.
"""

from __future__ import annotations

from ipaddress import ip_network

from felix_py.kernel.model import (
    IPAddress,
    IPNetwork,
    NextHop,
    Route,
    RouteKey,
    Scope,
)
from felix_py.kernel.ownership import FELIX


def host_prefix(address: IPAddress) -> IPNetwork:
    """The address as a network of one: /32 or /128."""
    return ip_network(f"{address}/{address.max_prefixlen}")


def pod_route_key(address: IPAddress) -> RouteKey:
    """Where the route of a local pod's address stands: main table, felix's metric."""
    return RouteKey(host_prefix(address), FELIX.metric)


def pod_route(address: IPAddress, ifindex: int) -> Route:
    """The /32 or /128 to the pod behind this host-side link.

    IPv4 has scope link, as Calico's; the kernel keeps no scope for IPv6 and dumps universe.
    """
    return Route(
        key=pod_route_key(address),
        protocol=FELIX.route_protocol,
        next_hops=(NextHop(ifindex),),
        scope=Scope.LINK if address.version == 4 else Scope.UNIVERSE,
    )
