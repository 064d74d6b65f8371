"""Pure: the routes to other nodes' prefixes that are felix's to write."""

from __future__ import annotations

from dataclasses import dataclass

from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.calc.pools import pool_for
from felix_py.datastore.calc.reachability import Reach, Way, Writer, reach
from felix_py.datastore.model import IPNetwork, NodeName
from felix_py.kernel.model import NextHop, Route, RouteKey
from felix_py.kernel.ownership import FELIX, IPIP_LINK, VXLAN_LINKS


@dataclass(frozen=True, slots=True)
class Remote:
    """Another node's prefix and the way to it."""

    node: NodeName
    way: Reach


def remote_of(prefix: IPNetwork, snapshot: Snapshot) -> Remote | None:
    """Who has the prefix and how it is reached; None: nobody else, or it is in no pool."""
    owner = snapshot.owners.get(prefix)
    mine = snapshot.own_node
    if owner is None or owner == snapshot.me or mine is None:
        return None
    pool = pool_for(prefix, snapshot.pools.values())
    other = snapshot.nodes.get(owner)
    if pool is None or other is None:
        return None
    return Remote(owner, reach(mine, other.value, pool, snapshot.terms))


def is_bgps(remote: Remote | None) -> bool:
    """Whether a route of felix's at this prefix waits for BGP's to take its place."""
    return remote is not None and remote.way.writer is Writer.BGP and remote.way.way is Way.DIRECT


def route_of(prefix: IPNetwork, remote: Remote | None, snapshot: Snapshot) -> Route | None:
    """The route felix should have; None: it is not felix's, or its link is not there (yet).

    A tunnel's route is `onlink`: its gateway, the far node's address or VTEP, is on no link of ours.
    A direct route's gateway must be on the link of our own address, or the kernel refuses it by name.
    """
    if remote is None or remote.way.writer is not Writer.FELIX or remote.way.gateway is None:
        return None
    hop = _hop(prefix.version, remote.way, snapshot)
    if hop is None:
        return None
    return Route(RouteKey(prefix, FELIX.metric), FELIX.route_protocol, next_hops=(hop,))


def _hop(version: int, way: Reach, snapshot: Snapshot) -> NextHop | None:
    if way.way is Way.DIRECT:
        uplink = snapshot.uplinks.get(version)
        return None if uplink is None else NextHop(uplink, way.gateway)
    name = IPIP_LINK if way.way is Way.IPIP else VXLAN_LINKS[version]
    link = snapshot.links.get(name)
    if link is None or not link.up:
        return None
    return NextHop(link.index, way.gateway, onlink=True)
