"""Pure: all that a change does beyond the objects that are changed, the worst first."""

from __future__ import annotations

from felix_py.ctl.calc.plan_addresses import addresses
from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.ctl.calc.plan_effect import Effect, Weight
from felix_py.ctl.calc.plan_room import pools
from felix_py.ctl.calc.plan_routes import routes
from felix_py.ctl.calc.plan_selectors import selectors
from felix_py.ctl.calc.plan_sessions import sessions
from felix_py.ctl.calc.plan_ways import ways

_ORDER = list(Weight)


def effects(before: Cluster, after: Cluster) -> tuple[Effect, ...]:
    """What becomes of addresses, pools, sessions, routes and ways, and selectors that match nothing."""
    found = [
        effect
        for judge in (addresses, pools, sessions, routes, ways, selectors)
        for effect in judge(before, after)
    ]
    return tuple(sorted(found, key=lambda effect: _ORDER.index(effect.weight)))
