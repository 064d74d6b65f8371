"""Pure: the full mesh counted instead of listed: 5,000 nodes have 12 million sessions with one another.

A session is a pair of addresses. What the mesh makes of a pair follows from its two nodes alone, so that
how many pairs come, go and are reset follows from how many nodes do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bgp.calc.configuration import as_of, effective
from felix_py.ctl.calc.plan_cluster import Cluster
from felix_py.datastore.calc.reachability import Backend, address_of
from felix_py.datastore.model import IPAddress, NodeName

Pair = tuple[IPAddress, IPAddress]
"""A session by its addresses, the smaller one first."""


def pair_of(one: IPAddress, other: IPAddress) -> Pair:
    """The session between two addresses of the same family."""
    return (one, other) if int(one) < int(other) else (other, one)


@dataclass(slots=True)
class Tally:
    """How many sessions come, go, are reset and stay."""

    added: int = 0
    removed: int = 0
    reset: int = 0
    kept: int = 0

    def note(self, before: object, after: object, by: int = 1) -> None:
        """Sessions that were so and are so now; None: there was none."""
        if before is None and after is None:
            return
        if before is None:
            self.added += by
        elif after is None:
            self.removed += by
        elif before != after:
            self.reset += by
        else:
            self.kept += by


Member = tuple[NodeName, int, int, IPAddress]
"""Node, AS, port and router id."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Who takes part: address -> what its sessions depend on; `common`: what all of them share."""

    members: Mapping[IPAddress, Member] = field(default_factory=dict)
    common: tuple[object, ...] = ()

    def has(self, pair: Pair) -> bool:
        """The mesh makes this session, where no BGPPeer does."""
        return pair[0] in self.members and pair[1] in self.members

    def node_of(self, address: IPAddress) -> NodeName:
        """Whose address it is."""
        return self.members[address][0]

    def between(self, pair: Pair) -> object:
        """What the session is; None: none."""
        if not self.has(pair):
            return None
        return (self.members[pair[0]], self.members[pair[1]], self.common)


def mesh_of(cluster: Cluster) -> Mesh:
    """The mesh as bgp.calc.peerings makes it."""
    members: dict[IPAddress, Member] = {}
    common = effective(cluster.configurations, NodeName(""))
    if not common.mesh_enabled:
        return Mesh()
    for name in sorted(cluster.nodes):
        node = cluster.nodes[name]
        if node.route_reflector_cluster_id or cluster.backend(name) is not Backend.BGP:
            continue
        if node.ipv4_address is None:
            continue
        own = f"node.{name}" in cluster.configurations
        port = (effective(cluster.configurations, name) if own else common).listen_port
        for version in (4, 6):
            interface = address_of(node, version)
            if interface is not None:
                members[interface.ip] = (name, as_of(node, common), port, node.ipv4_address.ip)
    return Mesh(members, (common.mesh_max_restart_seconds, common.mesh_password_secret))


def tally(before: Mesh, after: Mesh, apart: Iterable[Pair]) -> Tally:
    """What becomes of the mesh's sessions, without those apart: BGPPeers have a say in them."""
    found = Tally()
    for version in (4, 6):
        old = {ip for ip in before.members if ip.version == version}
        new = {ip for ip in after.members if ip.version == version}
        both = old & new
        same = {ip for ip in both if before.members[ip] == after.members[ip]}
        kept = _pairs(len(same)) if before.common == after.common else 0
        found.kept += kept
        found.reset += _pairs(len(both)) - kept
        found.added += _pairs(len(new)) - _pairs(len(both))
        found.removed += _pairs(len(old)) - _pairs(len(both))
    for pair in apart:
        found.note(before.between(pair), after.between(pair), -1)
    return found


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
