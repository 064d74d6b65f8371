"""Pure: a route to each far VTEP of the IPv6 VXLAN, on the device itself.

The kernel takes an IPv6 route with an `onlink` gateway only when nothing else leads to that gateway
(ip6_route_check_nh_onlink). A VTEP's address is one of its node's block, to which a direct route may
lead, by BGP or within the subnet: then the route by the tunnel would be refused as long as the one that
it is to replace stands. IPv4 has no such rule.
"""

from __future__ import annotations

from ipaddress import ip_network

from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.calc.reachability import Way, is_vxlan, reach
from felix_py.kernel.model import NextHop, Route, RouteKey
from felix_py.kernel.ownership import FELIX, VXLAN_LINKS


def routes(snapshot: Snapshot) -> dict[RouteKey, Route]:
    """One for every other node to which some IPv6 pool is reached by VXLAN, while the device is up."""
    link, mine = snapshot.links.get(VXLAN_LINKS[6]), snapshot.own_node
    pools = [pool for pool in snapshot.pools.values() if pool.cidr.version == 6 and is_vxlan(pool)]
    if link is None or not link.up or mine is None or not pools:
        return {}
    found = {}
    for name, stored in snapshot.nodes.items():
        vtep = stored.value.ipv6_vxlan_tunnel_address
        if name == snapshot.me or vtep is None:
            continue
        if any(reach(mine, stored.value, p, snapshot.terms).way is Way.VXLAN for p in pools):
            key = RouteKey(ip_network(vtep), FELIX.metric)
            found[key] = Route(key, FELIX.route_protocol, next_hops=(NextHop(link.index),))
    return found
