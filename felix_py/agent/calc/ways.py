"""Pure: which nodes are not reached as their pools ask, and why, for people."""

from __future__ import annotations

from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.calc.reachability import Reach, Way, Writer, encapsulates, reach
from felix_py.datastore.model import IPPool

MAX_NAMED = 10
"""Pairs of node and pool that are named; the rest is counted."""


def complaints(snapshot: Snapshot) -> list[str]:
    """One sentence for each other node and pool whose way is missing or another than was asked for."""
    mine = snapshot.own_node
    if mine is None:
        return []
    holders = set(snapshot.owners.values()) - {snapshot.me}
    found: list[str] = []
    for pool in sorted(snapshot.pools.values(), key=lambda pool: pool.name):
        for name in sorted(holders & snapshot.nodes.keys()):
            way = reach(mine, snapshot.nodes[name].value, pool, snapshot.terms)
            if _is_worth_telling(way, pool):
                found.append(f"pool {pool.name}, node {name}: {_sentence(way)}")
    if len(found) > MAX_NAMED:
        return [*found[:MAX_NAMED], f"and {len(found) - MAX_NAMED} more nodes like these"]
    return found


def _is_worth_telling(way: Reach, pool: IPPool) -> bool:
    if way.way is Way.NONE:
        return way.writer is Writer.FELIX
    return bool(way.reason) and encapsulates(pool)


def _sentence(way: Reach) -> str:
    if way.way is Way.NONE:
        return f"not reached: {way.reason}"
    return f"reached {_HOW[way.way]}: {way.reason}"


_HOW = {Way.DIRECT: "directly", Way.IPIP: "by IPIP", Way.VXLAN: "by VXLAN"}
