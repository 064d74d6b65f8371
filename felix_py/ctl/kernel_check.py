"""Pure: what this host's kernel holds for pods that etcd does not explain, and the other way round.

`ipam check` looks at etcd alone; run on a node, it also looks at that node's routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from felix_py.datastore.model import AffinityState, Block, IPNetwork, NodeName, WorkloadEndpoint
from felix_py.kernel.model import Link, Route, RouteKind
from felix_py.kernel.ownership import BGP, LINK_PREFIX
from felix_py.kernel.pod_records import PodRecord


@dataclass(frozen=True, slots=True)
class Trouble:
    """One finding, in the words of `ipam check`."""

    problem: str
    what: str
    detail: str
    repair: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node as etcd and its kernel tell. `routes`: the main table's; `records`: by their links."""

    me: NodeName
    endpoints: tuple[WorkloadEndpoint, ...] = ()
    blocks: Mapping[IPNetwork, Block] = field(default_factory=dict)
    affinities: Mapping[IPNetwork, AffinityState] = field(default_factory=dict)
    pools: tuple[IPNetwork, ...] = ()
    routes: tuple[Route, ...] = ()
    links: tuple[Link, ...] = ()
    records: Mapping[str, PodRecord] = field(default_factory=dict)


def compare(view: NodeView) -> list[Trouble]:
    """Stray routes, then endpoints of this node that have none."""
    return [*_stray(view), *_missing(view)]


def _stray(view: NodeView) -> Iterator[Trouble]:
    names = {link.index: link.name for link in view.links}
    explained = _explained(view)
    for route in sorted(view.routes, key=lambda route: str(route.key)):
        prefix = route.key.prefix
        on = sorted({names.get(hop.ifindex, "?") for hop in route.next_hops})
        if route.protocol == BGP.route_protocol or (prefix, *on) in explained:
            continue
        if prefix.version == 6 and prefix.is_link_local:
            continue  # the kernel's own, on every link that is up
        living = next((r for n in on if (r := view.records.get(n)) and prefix in r.networks), None)
        if living is not None:
            yield Trouble(
                "unregistered pod",
                str(prefix),
                f"{living.title} lives on {living.host_link} with it, and etcd has no such endpoint",
                "nothing while daemons are frozen: the cni server registers it once the store is "
                "accepted; if its warnings name the pod, recreate it",
            )
        elif _in_pool(prefix, view.pools) or any(name.startswith(LINK_PREFIX) for name in on):
            where = f"on {', '.join(on)}" if on else route.kind.name.lower()
            yield Trouble(
                "stray route",
                str(prefix),
                f"{where}, protocol {route.protocol}, metric {route.key.metric}: no endpoint or "
                f"block of {view.me} explains it",
                f"ip route del {prefix} proto {route.protocol} metric {route.key.metric}",
            )


def _explained(view: NodeView) -> set[tuple[IPNetwork | str, ...]]:
    """(prefix, link's name) of endpoints, (prefix,) of blackholes."""
    pods = {
        (address, endpoint.interface_name)
        for endpoint in view.endpoints
        for address in endpoint.networks
    }
    blocks = {
        (cidr,)
        for cidr, block in view.blocks.items()
        if block.host == view.me and view.affinities.get(cidr) is AffinityState.CONFIRMED
    }
    return {*pods, *blocks}


def _missing(view: NodeView) -> Iterator[Trouble]:
    present = {route.key.prefix for route in view.routes if route.kind is RouteKind.UNICAST}
    for endpoint in sorted(view.endpoints, key=lambda endpoint: endpoint.meta.name):
        for address in endpoint.networks:
            if address not in present:
                yield Trouble(
                    "endpoint without route",
                    str(address),
                    f"{endpoint.meta.namespace}/{endpoint.meta.name} on {endpoint.interface_name}",
                    "see `felixctl status`; if the pod is gone, delete its endpoint",
                )


def _in_pool(prefix: IPNetwork, pools: Iterable[IPNetwork]) -> bool:
    return any(
        pool.version == prefix.version
        and pool.prefixlen <= prefix.prefixlen
        and pool.overlaps(prefix)
        for pool in pools
    )
