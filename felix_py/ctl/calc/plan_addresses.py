"""Pure: what becomes of pods' addresses, of nodes' pools and of tunnel addresses.

Calico takes no address from a pod that lives: a pool that is disabled or selects the node no more keeps
serving what it gave, until the pod starts again. Only an address that lies in no pool at all is lost,
for nobody announces it and no route leads there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.ctl.calc.plan_effect import Effect, Weight, effects_of
from felix_py.ctl.calc.plan_fates import Fate, Standing, fates_of, title
from felix_py.ctl.calc.plan_pools import Serving
from felix_py.datastore.model import IPAddress, Node
from ipam.tunnels import TunnelKind, published

TOPIC = "addresses"
_TUNNELS = {TunnelKind.IPIP: "IPIP", TunnelKind.VXLAN: "VXLAN", TunnelKind.VXLAN_V6: "IPv6 VXLAN"}


def addresses(before: Cluster, after: Cluster) -> list[Effect]:
    """Of pods, nodes and tunnels."""
    if before.same_as(after, "pools", "nodes", "felix"):
        return []
    fates = fates_of(before, after)
    return [
        *_pods(fates),
        *_gone(before, after),
        *_crowded(fates, after),
        *_pools_of_nodes(before, after),
        *_tunnels(before, after),
    ]


def _pods(fates: Sequence[Fate]) -> list[Effect]:
    found: dict[tuple[Standing, Standing], list[str]] = defaultdict(list)
    kept = 0
    for fate in fates:
        if fate.was is fate.now:
            kept += fate.now is not Standing.OUTSIDE
        else:
            found[fate.was, fate.now].append(fate.title)
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
    return [*effects, *effects_of(TOPIC, Weight.NOTE, "pods keep their address", (), kept)]


def _gone(before: Cluster, after: Cluster) -> list[Effect]:
    gone = [
        title(key, endpoint)
        for node in sorted(before.nodes.keys() - after.nodes.keys())
        for key, endpoint in before.endpoints.get(node, {}).items()
    ]
    return effects_of(TOPIC, Weight.LOSS, "pods' addresses are released with their node", gone)


def _crowded(fates: Sequence[Fate], after: Cluster) -> list[Effect]:
    """Pods that need another address where the pools that serve them have not enough; what others than
    pods hold, and what is reserved, is not counted."""
    serving = Serving(after)
    used = Counter(fate.pool for fate in fates if fate.pool is not None)
    need = Counter(
        pools
        for fate in fates
        if (fate.was, fate.now) == (Standing.HELD, Standing.STRAY)
        and (pools := serving.pools(fate.node, fate.network.version, fate.key.namespace))
    )
    effects: list[Effect] = []
    for pools, wanted in sorted(need.items(), key=lambda item: sorted(item[0])):
        room = sum(max(0, after.pools[name].cidr.num_addresses - used[name]) for name in pools)
        text = f"pods that need another address find none in {', '.join(sorted(pools))}"
        effects += effects_of(TOPIC, Weight.LOSS, text, (), max(0, wanted - room))
    return effects


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
