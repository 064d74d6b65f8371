"""Pure: which learned prefixes are felix's to write, because a tunnel or felix itself leads there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from bgp.model import IPNetwork
from felix_py.datastore.calc.reachability import Terms, Way, Writer, encapsulates, reach
from felix_py.datastore.model import IPPool, Node, NodeName, PoolName


@dataclass(frozen=True, slots=True)
class FelixRoutes:
    """What of the snapshot decides it; built anew when nodes, pools or configuration change."""

    me: NodeName
    nodes: Mapping[NodeName, Node] = field(default_factory=dict)
    owners: Mapping[IPNetwork, NodeName] = field(default_factory=dict)
    """Looked up as they are when a prefix is judged, not copied."""
    terms: Terms = field(default_factory=Terms)
    _known: dict[tuple[NodeName, PoolName], bool] = field(default_factory=dict)

    def concerns(self, pool: IPPool) -> bool:
        """False: every route of this pool is BGP's, without a look at the prefix."""
        return self.terms != Terms() or encapsulates(pool)

    def owner_of(self, prefix: IPNetwork, pool: IPPool) -> NodeName | None:
        """The node that has a prefix, by its own entry or that of the block around it."""
        owner = self.owners.get(prefix)
        if owner is None and prefix.prefixlen > pool.block_size:
            owner = self.owners.get(ip_network(prefix).supernet(new_prefix=pool.block_size))
        return owner

    def writes(self, prefix: IPNetwork, pool: IPPool) -> bool:
        """Whether felix has, or is about to have, the route to this prefix."""
        if not self.concerns(pool):
            return False
        owner = self.owner_of(prefix, pool)
        if owner is None or owner == self.me:
            return False
        known = self._known.get((owner, pool.name))
        if known is None:
            known = self._known[owner, pool.name] = self._decide(owner, pool)
        return known

    def _decide(self, owner: NodeName, pool: IPPool) -> bool:
        mine, other = self.nodes.get(self.me), self.nodes.get(owner)
        if mine is None or other is None:
            return False
        way = reach(mine, other, pool, self.terms)
        return way.writer is Writer.FELIX and way.way is not Way.NONE
