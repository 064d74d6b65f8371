"""Pure: pools that are too small for the nodes they serve, and pods that are translated otherwise."""

from __future__ import annotations

from collections import Counter

from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.ctl.calc.plan_effect import Effect, Weight, effects_of
from felix_py.ctl.calc.plan_pools import PoolIndex
from felix_py.datastore.model import AssignmentMode, IPPool, PoolName, PoolUse
from ipam.pool import block_count, enabled, selects_node

TOPIC = "pools"


def pools(before: Cluster, after: Cluster) -> list[Effect]:
    """What becomes of room and of address translation."""
    if before.same_as(after, "pools", "nodes"):
        return []
    return [*_room(before, after), *_translated(before, after)]


def _room(before: Cluster, after: Cluster) -> list[Effect]:
    """Nodes that find no block of their own in a pool; not said where it was so before."""
    effects: list[Effect] = []
    for name, pool in sorted(after.pools.items()):
        short = _short(pool, after)
        old = before.pools.get(name)
        if short > (0 if old is None else _short(old, before)):
            text = f"nodes find no block of their own in pool {name}: it has {block_count(pool)}"
            effects += effects_of(TOPIC, Weight.CHANGE, text, (), short)
    return effects


def _short(pool: IPPool, cluster: Cluster) -> int:
    """How many of the nodes that a pool serves it has no block for."""
    serves = (
        enabled(pool)
        and PoolUse.WORKLOAD in pool.allowed_uses
        and pool.assignment_mode is AssignmentMode.AUTOMATIC
    )
    if not serves or block_count(pool) >= len(cluster.nodes):
        return 0
    nodes = sum(selects_node(pool, node) for node in cluster.nodes.values())
    return max(0, nodes - block_count(pool))


def _translated(before: Cluster, after: Cluster) -> list[Effect]:
    """Pods whose way out changes with a pool's natOutgoing."""
    changed = {
        name: pool.nat_outgoing
        for name, pool in after.pools.items()
        if name in before.pools and before.pools[name].nat_outgoing is not pool.nat_outgoing
    }
    if not changed:
        return []
    index = PoolIndex(after.pools.values())
    counts: Counter[PoolName] = Counter()
    for endpoints in before.endpoints.values():
        for endpoint in endpoints.values():
            for network in endpoint.networks:
                pool = index.holding(network)
                if pool is not None and pool.name in changed:
                    counts[pool.name] += 1
    effects: list[Effect] = []
    for name, on in sorted(changed.items()):
        address = "their node's address" if on else "their own address"
        text = f"pods of pool {name} go out of the cluster with {address}"
        effects += effects_of(TOPIC, Weight.CHANGE, text, (), counts[name])
    return effects
