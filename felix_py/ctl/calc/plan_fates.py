"""Pure: every address of a pod, and where it stands among the pools before a change and after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.ctl.calc.plan_pools import PoolIndex, Serving
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPNetwork, IPPool, NodeName, PoolName, WorkloadEndpoint


class Standing(Enum):
    """Where a pod's address stands."""

    HELD = "held"
    """A pod that starts there would get one of the same pool."""
    STRAY = "stray"
    """A pool holds it, but gives none out there."""
    OUTSIDE = "outside"
    """No pool holds it."""


@dataclass(frozen=True, slots=True)
class Fate:
    """One address. pool: the one that holds it after the change."""

    was: Standing
    now: Standing
    key: ResourceKey
    endpoint: WorkloadEndpoint
    network: IPNetwork
    pool: PoolName | None

    @property
    def node(self) -> NodeName:
        """Where the pod is."""
        return self.endpoint.node

    @property
    def title(self) -> str:
        """The pod and its address."""
        return f"{title(self.key, self.endpoint)} {self.network.network_address}"


def fates_of(before: Cluster, after: Cluster) -> list[Fate]:
    """All addresses of pods, without those whose node is deleted."""
    old, new = PoolIndex(before.pools.values()), PoolIndex(after.pools.values())
    was_serving, now_serving = Serving(before), Serving(after)
    fates: list[Fate] = []
    for node, endpoints in before.endpoints.items():
        if node in before.nodes and node not in after.nodes:
            continue
        same_node = before.nodes.get(node) == after.nodes.get(node)
        for key, endpoint in endpoints.items():
            for network in endpoint.networks:
                first, second = old.holding(network), new.holding(network)
                was = now = _standing(first, was_serving, node, key.namespace)
                if first is not second or not same_node:
                    now = _standing(second, now_serving, node, key.namespace)
                pool = None if second is None else second.name
                fates.append(Fate(was, now, key, endpoint, network, pool))
    return fates


def _standing(pool: IPPool | None, serving: Serving, node: NodeName, namespace: str) -> Standing:
    if pool is None:
        return Standing.OUTSIDE
    return Standing.HELD if serving.serves(pool, node, namespace) else Standing.STRAY


def title(key: ResourceKey, endpoint: WorkloadEndpoint) -> str:
    """A pod as people name it."""
    return f"{key.namespace}/{endpoint.pod or endpoint.workload or endpoint.container_id[:12]}"
