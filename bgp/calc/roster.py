"""Pure: all nodes as sessions look them up, by address and by selector.

One roster serves any number of decisions on the same nodes: felixctl decides for every node at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from bgp.model import IPAddress
from felix_py.datastore.model import Node, NodeName
from felix_py.datastore.selectors import parse


class Roster:
    """The nodes of one moment; not to be used after they changed."""

    def __init__(self, nodes: Mapping[NodeName, Node]) -> None:
        self._nodes = nodes
        self._selected: dict[str, dict[NodeName, Node]] = {}

    @cached_property
    def owners(self) -> Mapping[IPAddress, Node]:
        """A node's own address -> the node; of two with the same one, the larger name."""
        return {
            interface.ip: node
            for node in sorted(self._nodes.values(), key=lambda node: node.name)
            for interface in (node.ipv4_address, node.ipv6_address)
            if interface is not None
        }

    def selected(self, selector: str) -> Mapping[NodeName, Node]:
        """The nodes that a selector matches, in the order of their names. Raises SelectorError."""
        found = self._selected.get(selector)
        if found is None:
            parsed = parse(selector)
            found = self._selected[selector] = {
                name: self._nodes[name]
                for name in sorted(self._nodes)
                if parsed.matches(self._nodes[name].meta.labels)
            }
        return found
