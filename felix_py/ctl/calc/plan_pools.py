"""Pure: pools asked a hundred thousand times: which one holds an address, which ones serve a node."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.datastore.calc.pools import pool_for
from felix_py.datastore.model import (
    AssignmentMode,
    IPNetwork,
    IPPool,
    NodeName,
    PoolName,
    PoolUse,
)
from felix_py.datastore.selectors import SelectorError, parse
from ipam.pool import enabled, selects_node


class PoolIndex:
    """`pool_for`, by bisection where no two pools overlap, as Calico wants it."""

    def __init__(self, pools: Iterable[IPPool]) -> None:
        self._pools = tuple(pools)
        self._sorted = {
            version: sorted(
                (p for p in self._pools if p.cidr.version == version),
                key=lambda pool: int(pool.cidr.network_address),
            )
            for version in (4, 6)
        }
        self._firsts = {
            version: [int(pool.cidr.network_address) for pool in pools]
            for version, pools in self._sorted.items()
        }
        self._overlapping = any(
            int(one.cidr.broadcast_address) >= int(next_one.cidr.network_address)
            for pools in self._sorted.values()
            for one, next_one in pairwise(pools)
        )

    def holding(self, network: IPNetwork) -> IPPool | None:
        """The pool that holds all of it."""
        if self._overlapping:
            return pool_for(network, self._pools)
        place = bisect_right(self._firsts[network.version], int(network.network_address))
        if not place:
            return None
        pool = self._sorted[network.version][place - 1]
        last = int(pool.cidr.broadcast_address)
        return pool if int(network.broadcast_address) <= last else None


class Serving:
    """Which pools give pods addresses, by node and namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        open_ = [
            pool
            for pool in cluster.pools.values()
            if enabled(pool) and PoolUse.WORKLOAD in pool.allowed_uses
        ]
        self._open = frozenset(pool.name for pool in open_)
        self._automatic = [
            pool for pool in open_ if pool.assignment_mode is AssignmentMode.AUTOMATIC
        ]
        self._by_node: dict[NodeName, frozenset[PoolName]] = {}
        self._by_namespace: dict[tuple[PoolName, str], bool] = {}
        self._pools: dict[tuple[frozenset[PoolName], int, str], frozenset[PoolName]] = {}
        self._served: dict[tuple[frozenset[PoolName], int], frozenset[str]] = {}

    def serves(self, pool: IPPool, node: NodeName, namespace: str) -> bool:
        """The pool gives addresses to pods of this namespace there, or, manual, to whoever names it."""
        if pool.assignment_mode is AssignmentMode.MANUAL:
            return pool.name in self._open
        return pool.name in self._selecting(node) and self._takes(pool, namespace)

    def served(self, node: NodeName, version: int, namespaces: frozenset[str]) -> frozenset[str]:
        """Of these namespaces (always the same ones) those whose pods get an address of an IP version
        there; "" stands for any other namespace."""
        key = self._selecting(node), version
        found = self._served.get(key)
        if found is None:
            pools = [p for p in self._automatic if p.name in key[0] and p.cidr.version == version]
            known = [n for n in namespaces if any(self._takes(pool, n) for pool in pools)]
            everybody = any(not pool.namespace_selector.strip() for pool in pools)
            found = self._served[key] = frozenset([*known, ""] if everybody else known)
        return found

    def pools(self, node: NodeName, version: int, namespace: str) -> frozenset[PoolName]:
        """The automatic pools of an IP version that serve pods of this namespace there."""
        key = self._selecting(node), version, namespace
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = frozenset(
                pool.name
                for pool in self._automatic
                if pool.name in key[0]
                and pool.cidr.version == version
                and self._takes(pool, namespace)
            )
        return found

    def _selecting(self, name: NodeName) -> frozenset[PoolName]:
        found = self._by_node.get(name)
        if found is None:
            node = self._cluster.nodes.get(name)
            found = frozenset(
                pool.name
                for pool in self._automatic
                if node is not None and selects_node(pool, node)
            )
            self._by_node[name] = found
        return found

    def _takes(self, pool: IPPool, namespace: str) -> bool:
        if not pool.namespace_selector.strip():
            return True
        known = self._by_namespace.get((pool.name, namespace))
        if known is None:
            labels = self._cluster.namespaces.get(namespace, {})
            try:
                known = parse(pool.namespace_selector).matches(labels)
            except SelectorError:
                known = False
            self._by_namespace[pool.name, namespace] = known
        return known
