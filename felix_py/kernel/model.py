"""Frozen values of the host's network stack: links, addresses, routes, neighbours.

Those of which there may be 100,000 are msgspec's: made in a sixth of the time, with a hash that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

import msgspec

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface

MAIN_TABLE = 254


class RouteKind(Enum):
    """The route types we write or must recognise; the value is rtm_type."""

    UNICAST = 1
    LOCAL = 2
    BLACKHOLE = 6
    OTHER = 0


class Scope(Enum):
    """rtm_scope: how far the destination is. IPv6 ignores it."""

    UNIVERSE = 0
    LINK = 253
    HOST = 254


class RouteKey(msgspec.Struct, frozen=True, order=True, cache_hash=True, gc=False):
    """The kernel's own key of a route: two routes differ when one of these does."""

    prefix: IPNetwork
    metric: int
    table: int = MAIN_TABLE


@dataclass(frozen=True, slots=True, order=True)
class NextHop:
    """One way out. `onlink` is for tunnels only: on an ordinary link it black-holes."""

    ifindex: int
    gateway: IPAddress | None = None
    onlink: bool = False
    weight: int = 1


def in_order(hops: Iterable[NextHop]) -> tuple[NextHop, ...]:
    """Next hops as a Route holds them: sorted, so that equal sets are equal routes."""
    return tuple(sorted(hops, key=_hop_order))


def _hop_order(hop: NextHop) -> tuple[int, bytes, bool, int]:
    return hop.ifindex, hop.gateway.packed if hop.gateway else b"", hop.onlink, hop.weight


class Route(msgspec.Struct, frozen=True, gc=False):
    """A route as wished or as dumped. Next hops are sorted; a blackhole has none."""

    key: RouteKey
    protocol: int
    kind: RouteKind = RouteKind.UNICAST
    next_hops: tuple[NextHop, ...] = ()
    scope: Scope = Scope.UNIVERSE
    source: IPAddress | None = None
    """Preferred source address."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Per-link switches; None: not known, or not to be touched.

    Those of the first group travel by netlink (IFLA_AF_SPEC) and netlink announces their changes;
    those of the second exist as files only and are swept.
    """

    forwarding4: bool | None = None
    proxy_arp: bool | None = None
    rp_filter: int | None = None
    forwarding6: bool | None = None

    route_localnet: bool | None = None
    proxy_delay: int | None = None
    proxy_ndp: bool | None = None
    accept_ra: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface of one namespace."""

    index: int
    name: str
    kind: str = ""
    """`veth`, `ipip`, `vxlan`, `` for physical or unknown ones."""
    alias: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = False
    running: bool = False
    settings: LinkSettings = field(default_factory=LinkSettings)


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link."""

    ifindex: int
    interface: IPInterface
    scope: Scope = Scope.UNIVERSE
    deprecated: bool = False
    tentative: bool = False
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A resolved (here: permanent) neighbour."""

    ifindex: int
    address: IPAddress
    mac: str


class PutRoute(msgspec.Struct, frozen=True, gc=False):
    """Make the kernel hold this route. `replaces_ours` only if the dump shows ours at the key."""

    route: Route
    replaces_ours: bool = False


class DropRoute(msgspec.Struct, frozen=True, gc=False):
    """Remove this very route (key and protocol)."""

    route: Route


RouteChange = PutRoute | DropRoute


@dataclass(frozen=True, slots=True)
class Hint:
    """Something changed that we did not do: look again. `what` is links, addresses, routes, settings.

    For routes the changed prefixes are given while they are few; empty: look at everything.
    """

    what: str
    prefixes: frozenset[IPNetwork] = frozenset()


@dataclass(frozen=True, slots=True)
class VethSpec:
    """A pod's link pair to create: host side here, the other side in the pod's namespace."""

    host_name: str
    pod_name: str
    alias: str
    """The IPAM handle: the mark by which the pair is recognised."""
    mtu: int
    host_mac: str
    pod_mac: str | None = None
    rp_filter: int | None = None
    """Reverse path filter of the host side; None: as the namespace's default has it."""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """The pod's side: addresses (/32, /128), the gateways and their permanent neighbour.

    `gateways` maps IP version to gateway; each gets an on-link route, a permanent neighbour with
    `gateway_mac`, and, if `default_routes`, the default route.
    """

    pod_name: str
    addresses: tuple[IPAddress, ...]
    gateways: Mapping[int, IPAddress]
    gateway_mac: str
    default_routes: bool = True
    allow_forwarding: bool = False
    """Whether the pod may forward packets; written for each IP version that has an address."""
