"""Learned prefixes to kernel routes: next hops through the underlay, adoption after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from bgp.calc.next_hops import Resolution, Underlay, Unresolved
from bgp.learned import NextHops
from bgp.model import IPAddress, IPNetwork
from bgp.yielding import Yielding
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import Route, RouteKey
from felix_py.kernel.ownership import BGP
from felix_py.kernel.route_table import RouteTable

EXAMPLES = 5
"""How many routes of each trouble are named."""


class Fib:
    """Keeps BGP's routes in the main table. One thread owns it.

    After a start the routes that an earlier process left are kept as they stand until `complete`,
    but a prefix that was learned since follows what was learned. A route that has become felix's to
    write stays until felix's stands beside it: then it yields.
    """

    def __init__(self, table: RouteTable, yielding: Yielding) -> None:
        self._table = table
        self._yielding = yielding
        self._underlay = Underlay((), ())
        self._wanted: dict[IPNetwork, NextHops] = {}
        self._ways: dict[NextHops, Resolution] = {}
        self._adopted: dict[IPNetwork, Route] | None = None
        self._failed: Mapping[RouteKey, KernelRefused] = {}

    def adopt(self) -> int:
        """Read the kernel and keep what is ours there; how many routes that is."""
        self._table.relist()
        self._adopted = {key.prefix: route for key, route in self._table.actual.items()}
        self._table.want(dict(self._table.actual))
        return len(self._adopted)

    def complete(self) -> int:
        """Every peer has been heard: what nobody announced again goes; how many routes."""
        left, self._adopted = self._adopted or {}, None
        kept = self._yielding.keep(left, self._table.actual)
        self._table.want({_key(prefix): None for prefix in left if prefix not in kept})
        return len(left) - len(kept)

    @property
    def adopting(self) -> bool:
        """Routes of an earlier process are still kept."""
        return self._adopted is not None

    def learn(self, changes: Mapping[IPNetwork, NextHops]) -> None:
        """New next hops of these prefixes; () takes the route away."""
        adopted, wanted = self._adopted, self._wanted
        for prefix, next_hops in changes.items():
            if next_hops:
                wanted[prefix] = next_hops
            else:
                wanted.pop(prefix, None)
            if adopted:
                adopted.pop(prefix, None)
        self._yielding.forget(prefix for prefix, next_hops in changes.items() if next_hops)
        ending = [prefix for prefix, next_hops in changes.items() if not next_hops]
        kept = self._yielding.keep(ending, self._table.actual)
        if kept:
            changes = {prefix: hops for prefix, hops in changes.items() if prefix not in kept}
        self._want(changes)

    def yield_to_felix(self, now: float) -> bool:
        """Let go of routes that felix has taken over, or will not; True when there are such."""
        done = self._yielding.done(now, self._table.actual)
        self._table.want({_key(prefix): None for prefix in done})
        return bool(done)

    @property
    def waiting_for_felix(self) -> list[IPNetwork]:
        """Prefixes whose route of ours stays until felix's stands."""
        return self._yielding.waiting

    def stand_on(self, underlay: Underlay) -> bool:
        """The underlay changed: resolve every next hop again; True when that moved a route."""
        self._underlay = underlay
        before, self._ways = self._ways, {}
        moved = {hops for hops, way in before.items() if self._way(hops) != way}
        changes = {prefix: hops for prefix, hops in self._wanted.items() if hops in moved}
        self._want(changes)
        return bool(changes)

    def note(self, prefixes: frozenset[IPNetwork]) -> None:
        """Somebody else touched routes to these prefixes; empty: any."""
        if prefixes:
            self._table.note(prefixes)
        else:
            self._table.relist()

    def apply(self) -> bool:
        """Write what differs; True when something was refused and is to be tried again."""
        self._failed = self._table.apply()
        return bool(self._failed)

    def installed(self) -> int:
        """Routes of ours in the kernel."""
        return len(self._table.actual)

    def unresolved(self) -> dict[IPAddress, str]:
        """Next hops in use without a way to them."""
        used = {next_hop for hops in self._ways for next_hop in hops}
        return {hop: why for hop, why in self._underlay.unresolved().items() if hop in used}

    def troubles(self) -> dict[str, str]:
        """Prefixes (a few) whose route the kernel refused, or at whose key a foreign route sits."""
        named = {
            str(key.prefix): str(error) for key, error in islice(self._failed.items(), EXAMPLES)
        }
        for key, route in islice(self._table.foreign.items(), EXAMPLES):
            named[str(key.prefix)] = f"a route of protocol {route.protocol} sits at our key"
        return named

    def _want(self, changes: Mapping[IPNetwork, NextHops]) -> None:
        if not changes:
            return
        wishes: dict[RouteKey, Route | None] = {}
        metric, protocol, ways = BGP.metric, BGP.route_protocol, self._ways
        for prefix, next_hops in changes.items():
            key = RouteKey(prefix, metric)
            way = (ways.get(next_hops) or self._way(next_hops)) if next_hops else None
            if way is None or isinstance(way, Unresolved):
                wishes[key] = None
            else:
                wishes[key] = Route(key, protocol, next_hops=way)
        self._table.want(wishes)

    def _way(self, next_hops: NextHops) -> Resolution:
        """What resolves, resolved once per set of next hops."""
        way = self._ways[next_hops] = self._underlay.resolve_all(next_hops)
        return way


def _key(prefix: IPNetwork) -> RouteKey:
    return RouteKey(prefix, BGP.metric)
