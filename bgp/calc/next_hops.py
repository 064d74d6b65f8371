"""Pure: a BGP next hop through the underlay's routes, never through ours.

An on-link next hop becomes the gateway itself. Any other one takes the way of the longest matching route
that is neither felix's nor BGP's: the gateway of that route, on its link, several if the underlay has
several. `onlink` is never written: on an ordinary link the kernel would ask for an address that nobody
there has, and the traffic would vanish instead of being refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from felix_py.kernel.model import IPAddress, Link, NextHop, Route, RouteKind
from felix_py.kernel.ownership import BGP, FELIX, LINK_PREFIX

MAX_NEXT_HOPS = 16
"""Of one kernel route; the smallest are kept, so that every node keeps the same."""
MAX_DEPTH = 4
"""Gateways behind gateways. The kernel itself accepts one step; deeper ones come from `onlink` routes."""

_OURS = frozenset({FELIX.route_protocol, BGP.route_protocol})


@dataclass(frozen=True, slots=True)
class Unresolved:
    """There is no way to a next hop; the reason is for people."""

    reason: str


Resolution = tuple[NextHop, ...] | Unresolved
"""Next hops for the kernel, sorted and at most MAX_NEXT_HOPS, or why there is none."""


class Underlay:
    """The routes below ours, prepared for longest-prefix match. Links that are down are not used."""

    def __init__(self, routes: Iterable[Route], links: Iterable[Link]) -> None:
        self._links = {link.index: link for link in links if link.up}
        self._routes: dict[tuple[int, int], dict[int, Route]] = {}
        for route in routes:
            if route.protocol not in _OURS and self._usable(route):
                self._add(route)
        self._lengths = {
            version: sorted((length for v, length in self._routes if v == version), reverse=True)
            for version in (4, 6)
        }
        self._known: dict[IPAddress, Resolution] = {}

    def resolve(self, next_hop: IPAddress) -> Resolution:
        """The way to a BGP next hop; remembered, because thousands of paths share a few of them."""
        found = self._known.get(next_hop)
        if found is None:
            found = self._known[next_hop] = self._way(next_hop, MAX_DEPTH)
        return found

    def resolve_all(self, next_hops: Sequence[IPAddress]) -> Resolution:
        """The ways to all of them together; those without a way are left out while one has one."""
        if len(next_hops) == 1:
            return self.resolve(next_hops[0])
        ways: set[NextHop] = set()
        reasons: list[str] = []
        for next_hop in next_hops:
            resolution = self.resolve(next_hop)
            if isinstance(resolution, Unresolved):
                reasons.append(resolution.reason)
            else:
                ways.update(resolution)
        return _bounded(ways) if ways else Unresolved("; ".join(reasons))

    def unresolved(self) -> dict[IPAddress, str]:
        """The next hops asked for so far that have no way, with the reason."""
        return {
            next_hop: resolution.reason
            for next_hop, resolution in self._known.items()
            if isinstance(resolution, Unresolved)
        }

    def _usable(self, route: Route) -> bool:
        """A route of another owner that leads anywhere, or that forbids (blackhole)."""
        if route.kind is not RouteKind.UNICAST:
            return True
        return any(hop.ifindex in self._links for hop in route.next_hops)

    def _add(self, route: Route) -> None:
        prefix = route.key.prefix
        level = self._routes.setdefault((prefix.version, prefix.prefixlen), {})
        first = int(prefix.network_address)
        before = level.get(first)
        if before is None or route.key.metric < before.key.metric:
            level[first] = route

    def _match(self, address: IPAddress) -> Route | None:
        number, bits = int(address), address.max_prefixlen
        for length in self._lengths[address.version]:
            shift = bits - length
            route = self._routes[address.version, length].get(number >> shift << shift)
            if route is not None:
                return route
        return None

    def _way(self, target: IPAddress, depth: int) -> Resolution:
        route = self._match(target)
        if route is None:
            return Unresolved(f"no route to {target}")
        if route.kind is not RouteKind.UNICAST:
            return Unresolved(f"the route {route.key.prefix} to {target} leads nowhere")
        ways: set[NextHop] = set()
        for hop in route.next_hops:
            link = self._links.get(hop.ifindex)
            if link is None:
                continue
            if link.name.startswith(LINK_PREFIX):
                return Unresolved(f"{target} is a pod's address")
            ways.update(self._through(hop, target, depth))
        return _bounded(ways) if ways else Unresolved(f"no usable gateway towards {target}")

    def _through(self, hop: NextHop, target: IPAddress, depth: int) -> Iterable[NextHop]:
        if hop.gateway is None:
            return (NextHop(hop.ifindex, target),)
        if not hop.onlink:
            return (NextHop(hop.ifindex, hop.gateway),)
        if depth == 0 or hop.gateway == target:
            return ()
        deeper = self._way(hop.gateway, depth - 1)
        return () if isinstance(deeper, Unresolved) else deeper


def _bounded(ways: set[NextHop]) -> tuple[NextHop, ...]:
    return tuple(sorted(ways, key=_order)[:MAX_NEXT_HOPS])


def _order(hop: NextHop) -> tuple[int, int]:
    return (hop.ifindex, 0 if hop.gateway is None else int(hop.gateway))
