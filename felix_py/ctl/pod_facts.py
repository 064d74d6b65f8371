"""Looks inside pods: their end of a link, addresses, the route to the other end, the gateway's neighbour."""

from __future__ import annotations

from collections.abc import Iterable

from felix_py.ctl.calc.facts import HopFact, LookupFact, NeighbourFact, PodFact, RouteFact
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.kernel_view import KernelView
from felix_py.kernel.model import IPAddress, Link
from felix_py.kernel.pod_records import record_of
from felix_py.kernel.route_lookup import Match, Question
from felix_py.kernel.veth_peer import PodPair, pair_of

NO_RECORD = "no record of this pod is kept here"


def look_inside(link: Link, run_dir: str, ends: Iterable[IPAddress]) -> PodFact:
    """The pod behind a link of this host. Raises KernelRefused; LookupError when it has no record."""
    record = record_of(link, run_dir)
    if record is None:
        raise LookupError(NO_RECORD)
    with pair_of(link.name, record.handle, record.netns) as pair:
        return _facts(link, pair, ends)


def _facts(link: Link, pair: PodPair, ends: Iterable[IPAddress]) -> PodFact:
    """The pair's end inside; the socket is the pair's to close."""
    inside, view = pair.pod_link, KernelView(opened=pair.inside)
    own = [a.interface.ip for a in view.addresses() if a.ifindex == inside.index]
    return PodFact(
        host_link=link.name,
        name=inside.name,
        up=inside.up,
        mtu=inside.mtu,
        addresses=tuple(own),
        lookups=tuple(_lookup(view, inside, end) for end in ends if end not in own),
        neighbours=tuple(
            NeighbourFact(inside.name, n.address, n.mac, n.state)
            for n in view.neighbours()
            if n.ifindex == inside.index
        ),
    )


def _lookup(view: KernelView, inside: Link, end: IPAddress) -> LookupFact:
    try:
        return LookupFact(end, route=_route(view.lookup(Question(end)), inside))
    except KernelRefused as refused:
        return LookupFact(end, error=refused.errno)


def _route(match: Match, inside: Link) -> RouteFact:
    hops = tuple(
        HopFact(inside.name if hop.ifindex == inside.index else f"#{hop.ifindex}", hop.gateway)
        for hop in match.next_hops
    )
    kind = match.kind.name.lower()
    return RouteFact(match.prefix, kind, match.protocol, match.metric, match.table, hops)
