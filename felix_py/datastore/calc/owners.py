"""Which node has a prefix: blocks by their affinity, single addresses by who holds them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from felix_py.datastore.model import IPAddress, IPNetwork, NodeName
from felix_py.datastore.territory import Holding

_NOBODYS = Holding(None)


class Owners:
    """An index over all blocks, kept change by change; the same blocks give the same index."""

    def __init__(self) -> None:
        self._holdings: dict[IPNetwork, Holding] = {}
        self._owner: dict[IPNetwork, NodeName] = {}
        self._prefixes: dict[NodeName, set[IPNetwork]] = {}
        self._tunnels: dict[tuple[NodeName, str], frozenset[IPAddress]] = {}

    @property
    def owner(self) -> Mapping[IPNetwork, NodeName]:
        """Block, or single address that its block's node does not hold -> node."""
        return self._owner

    def prefixes_of(self, node: NodeName) -> frozenset[IPNetwork]:
        """All that a node has."""
        return frozenset(self._prefixes.get(node, ()))

    def tunnel_addresses(self, node: NodeName) -> dict[str, frozenset[IPAddress]]:
        """A node's tunnel addresses by type (territory.TUNNEL_TYPES), as IPAM gave them."""
        return {kind: found for (name, kind), found in self._tunnels.items() if name == node}

    def fold(self, cidr: IPNetwork, holding: Holding | None) -> frozenset[IPNetwork]:
        """This block is so now (None: there is no such block); the prefixes whose node changed."""
        before = self._holdings.get(cidr, _NOBODYS)
        after = _NOBODYS if holding is None else holding
        if before == after:
            return frozenset()
        if holding is None:
            self._holdings.pop(cidr, None)
        else:
            self._holdings[cidr] = holding
        for key in before.tunnels.keys() | after.tunnels.keys():
            gone, come = before.tunnels.get(key, ()), after.tunnels.get(key, ())
            found = self._tunnels.pop(key, frozenset()).difference(gone) | frozenset(come)
            if found:
                self._tunnels[key] = found
        old, new = _owners(cidr, before), _owners(cidr, after)
        changed = {
            prefix for prefix in old.keys() | new.keys() if old.get(prefix) != new.get(prefix)
        }
        for prefix in changed:
            self._settle(prefix, new.get(prefix))
        return frozenset(changed)

    def _settle(self, prefix: IPNetwork, node: NodeName | None) -> None:
        before = self._owner.pop(prefix, None)
        if before is not None:
            of_node = self._prefixes[before]
            of_node.discard(prefix)
            if not of_node:
                del self._prefixes[before]
        if node is not None:
            self._owner[prefix] = node
            self._prefixes.setdefault(node, set()).add(prefix)


def _owners(cidr: IPNetwork, holding: Holding) -> dict[IPNetwork, NodeName]:
    owners = {} if holding.host is None else {cidr: holding.host}
    return owners | dict(holding.guests)
