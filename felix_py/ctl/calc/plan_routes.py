"""Pure: prefixes that nodes announce no more, or anew, or with other communities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bgp.calc.announcements import communities_for, exported, reachable_here
from bgp.calc.configuration import effective
from felix_py.ctl.calc.plan_cluster import Cluster, Seat
from felix_py.ctl.calc.plan_effect import Effect, Weight, effects_of
from felix_py.datastore.calc.reachability import Backend
from felix_py.datastore.model import IPNetwork, NodeName

TOPIC = "routes"

Told = Mapping[IPNetwork, tuple[str, ...]]
"""Prefix -> communities."""


def routes(before: Cluster, after: Cluster) -> list[Effect]:
    """What becomes of the announcements of every node that is there before and after."""
    if before.same_as(after, "pools", "nodes", "felix", "configurations"):
        return []
    old, new = _Exports(before), _Exports(after)
    withdrawn: list[str] = []
    announced: list[str] = []
    marked: list[str] = []
    for name in before.nodes:
        if before.backend(name) is not Backend.BGP:
            continue
        was, now = _told(name, old, new)
        if was != now:
            withdrawn += (f"{prefix} of {name}" for prefix in was.keys() - now.keys())
            announced += (f"{prefix} of {name}" for prefix in now.keys() - was.keys())
            marked += (f"{p} of {name}" for p in was.keys() & now.keys() if was[p] != now[p])
    return [
        *effects_of(TOPIC, Weight.LOSS, "routes are withdrawn from all peers", sorted(withdrawn)),
        *effects_of(TOPIC, Weight.CHANGE, "routes are announced anew", sorted(announced)),
        *effects_of(TOPIC, Weight.CHANGE, "routes get other communities", sorted(marked)),
    ]


def _told(name: NodeName, old: _Exports, new: _Exports) -> tuple[Told, Told]:
    """What a node announces before and after."""
    seat = Seat.of(name, old.cluster)
    had = has = reachable_here(seat)
    if name not in new.cluster.nodes:
        return old.of(name, had), {}
    later = Seat.of(name, new.cluster)
    if seat.floating != later.floating:
        has = reachable_here(later)
    return old.of(name, had), new.of(name, has)


class _Exports:
    """What nodes of one cluster announce of what they have."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._pools = tuple(cluster.pools.values())

    def of(self, name: NodeName, prefixes: Iterable[IPNetwork]) -> Told:
        """Prefix -> communities."""
        told = effective(self.cluster.configurations, name).prefix_advertisements
        return {
            prefix: communities_for(prefix, told)
            for prefix in prefixes
            if exported(prefix, self._pools)
        }
