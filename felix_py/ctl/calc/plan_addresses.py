"""Pure: what becomes of pods' addresses, of nodes' pools and of tunnel addresses.

Calico takes no address from a pod that lives: a pool that is disabled or selects the node no more keeps
serving what it gave, until the pod starts again. Only an address that lies in no pool at all is lost,
for nobody announces it and no route leads there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import Enum

from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.ctl.calc.plan_effect import Effect, Weight, effects_of
from felix_py.ctl.calc.plan_pools import PoolIndex, Serving
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPAddress, IPNetwork, Node, WorkloadEndpoint
from ipam.tunnels import TunnelKind, published

TOPIC = "addresses"
_TUNNELS = {TunnelKind.IPIP: "IPIP", TunnelKind.VXLAN: "VXLAN", TunnelKind.VXLAN_V6: "IPv6 VXLAN"}


class Standing(Enum):
    """Where a pod's address stands."""

    HELD = "held"
    """A pod that starts there would get one of the same pool."""
    STRAY = "stray"
    """A pool holds it, but gives none out there."""
    OUTSIDE = "outside"
    """No pool holds it."""


def addresses(before: Cluster, after: Cluster) -> list[Effect]:
    """Of pods, nodes and tunnels."""
    if before.same_as(after, "pools", "nodes", "felix"):
        return []
    return [*_pods(before, after), *_pools_of_nodes(before, after), *_tunnels(before, after)]


def _pods(before: Cluster, after: Cluster) -> list[Effect]:
    found: dict[tuple[Standing, Standing], list[str]] = defaultdict(list)
    kept = 0
    for was, now, key, endpoint, network in _transitions(before, after):
        if was is now:
            kept += now is not Standing.OUTSIDE
        else:
            found[was, now].append(f"{title(key, endpoint)} {network.network_address}")
    lost = [
        *found[Standing.HELD, Standing.OUTSIDE],
        *found[Standing.STRAY, Standing.OUTSIDE],
    ]
    back = [*found[Standing.OUTSIDE, Standing.HELD], *found[Standing.OUTSIDE, Standing.STRAY]]
    effects = [
        *effects_of(TOPIC, Weight.LOSS, "pods lose their address: no pool holds it any more", lost),
        *effects_of(
            TOPIC,
            Weight.CHANGE,
            "pods keep their address until they start again, then they need one of another pool",
            found[Standing.HELD, Standing.STRAY],
        ),
        *effects_of(TOPIC, Weight.CHANGE, "pods' addresses lie in a pool again", back),
        *effects_of(
            TOPIC,
            Weight.NOTE,
            "pods live where their pool gives out addresses again",
            found[Standing.STRAY, Standing.HELD],
        ),
    ]
    gone = [
        title(key, endpoint)
        for node in before.nodes.keys() - after.nodes.keys()
        for key, endpoint in before.endpoints.get(node, {}).items()
    ]
    effects += effects_of(TOPIC, Weight.LOSS, "pods' addresses are released with their node", gone)
    return [*effects, *effects_of(TOPIC, Weight.NOTE, "pods keep their address", (), kept)]


def _transitions(
    before: Cluster, after: Cluster
) -> Iterator[tuple[Standing, Standing, ResourceKey, WorkloadEndpoint, IPNetwork]]:
    """Every address of a pod, where it stands before and after."""
    old, new = PoolIndex(before.pools.values()), PoolIndex(after.pools.values())
    was_serving, now_serving = Serving(before), Serving(after)
    for node, endpoints in before.endpoints.items():
        if node in before.nodes and node not in after.nodes:
            continue
        same_node = before.nodes.get(node) == after.nodes.get(node)
        for key, endpoint in endpoints.items():
            for network in endpoint.networks:
                first, second = old.holding(network), new.holding(network)
                was = now = Standing.OUTSIDE
                if first is not None:
                    serves = was_serving.serves(first, node, key.namespace)
                    was = Standing.HELD if serves else Standing.STRAY
                if first is second and same_node:
                    now = was
                elif second is not None:
                    serves = now_serving.serves(second, node, key.namespace)
                    now = Standing.HELD if serves else Standing.STRAY
                yield was, now, key, endpoint, network


def _pools_of_nodes(before: Cluster, after: Cluster) -> list[Effect]:
    was, now = Serving(before), Serving(after)
    namespaces = frozenset(after.namespaces).union(
        key.namespace for endpoints in before.endpoints.values() for key in endpoints
    )
    effects: list[Effect] = []
    for version in (4, 6):
        bare: list[str] = []
        partly: list[str] = []
        for name in before.nodes.keys() & after.nodes.keys():
            had, has = was.served(name, version, namespaces), now.served(name, version, namespaces)
            if had and not has:
                bare.append(name)
            elif had is not has and (lost := had - has):
                partly.extend(f"{namespace or 'any other'} on {name}" for namespace in lost)
        text = f"nodes are left without an IPv{version} pool: no pod can start there"
        effects += effects_of(TOPIC, Weight.LOSS, text, sorted(bare))
        text = f"namespaces are left without an IPv{version} pool on a node"
        effects += effects_of(TOPIC, Weight.LOSS, text, sorted(partly))
    return effects


def _tunnels(before: Cluster, after: Cluster) -> list[Effect]:
    taken: dict[TunnelKind, list[str]] = defaultdict(list)
    replaced: dict[TunnelKind, list[str]] = defaultdict(list)
    given_back: dict[TunnelKind, list[str]] = defaultdict(list)
    for name, node in after.nodes.items():
        was, now = before.tunnels.get(name, {}), after.tunnels[name]
        for kind in TunnelKind:
            if kind in now and kind not in was:
                taken[kind].append(name)
            elif kind in was and kind not in now:
                given_back[kind].append(name)
            elif kind in now and _moves(kind, node, now):
                replaced[kind].append(name)
    effects: list[Effect] = []
    for kind in TunnelKind:
        for text, names in (
            ("take an address for their", taken[kind]),
            ("give back the address of their", given_back[kind]),
            ("exchange the address of their", replaced[kind]),
        ):
            told = f"nodes {text} {_TUNNELS[kind]} tunnel"
            effects += effects_of(TOPIC, Weight.CHANGE, told, names)
    return effects


def _moves(kind: TunnelKind, node: Node, wanted: Mapping[TunnelKind, IPAddress]) -> bool:
    shown = published(kind, node)
    return shown is not None and wanted.get(kind) != shown


def title(key: ResourceKey, endpoint: WorkloadEndpoint) -> str:
    """A pod as people name it."""
    return f"{key.namespace}/{endpoint.pod or endpoint.workload or endpoint.container_id[:12]}"
