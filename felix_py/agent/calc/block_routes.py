"""Pure: a blackhole for each of our blocks.

Without it a packet for a free address of our block would follow the default route to the ToR,
which sends it back: a loop until its TTL ends. Calico v3.32 does the same (`blackholeRoutes` in
felix/dataplane/linux/route_mgr.go).
"""

from __future__ import annotations

from felix_py.agent.snapshot import Snapshot
from felix_py.datastore.model import AffinityState, IPNetwork
from felix_py.kernel.model import Route, RouteKey, RouteKind
from felix_py.kernel.ownership import FELIX


def route_of(cidr: IPNetwork, snapshot: Snapshot) -> Route | None:
    """The blackhole of a block that is ours, None when it is not.

    Ours: the block names this node and this node's affinity is confirmed; one of them alone is a
    claim half-way, and a blackhole for it would eat another node's traffic. A block of one address
    needs none: its only address is a pod's route or nobody's.
    """
    block = snapshot.blocks.get(cidr)
    if block is None or block.host != snapshot.me:
        return None
    if snapshot.affinities.get(cidr) is not AffinityState.CONFIRMED:
        return None
    if cidr.prefixlen == cidr.max_prefixlen:
        return None
    return Route(
        key=RouteKey(cidr, FELIX.metric),
        protocol=FELIX.route_protocol,
        kind=RouteKind.BLACKHOLE,
    )
