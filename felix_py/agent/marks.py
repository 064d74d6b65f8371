"""What has become dirty since it was last asked: pure bookkeeping of one thread."""

from __future__ import annotations

from dataclasses import dataclass, field

from felix_py.agent.snapshot import Dirty
from felix_py.datastore.model import IPNetwork


@dataclass(slots=True)
class Marks:
    """Collects until `take`; a fresh one says that everything is dirty. Fields as those of Dirty."""

    everything: bool = True
    nodes: bool = False
    links: bool = False
    all_remotes: bool = False
    addresses: set[IPNetwork] = field(default_factory=set)
    blocks: set[IPNetwork] = field(default_factory=set)
    interfaces: set[str] = field(default_factory=set)
    remotes: set[IPNetwork] = field(default_factory=set)

    @property
    def any(self) -> bool:
        """Whether something became dirty since the last `take`."""
        return bool(
            self.everything
            or self.nodes
            or self.links
            or self.all_remotes
            or self.addresses
            or self.blocks
            or self.interfaces
            or self.remotes
        )

    def take(self) -> Dirty:
        """What may have changed since the last call."""
        dirty = Dirty(
            everything=self.everything,
            addresses=frozenset(self.addresses),
            blocks=frozenset(self.blocks),
            interfaces=frozenset(self.interfaces),
            nodes=self.nodes,
            links=self.links,
            remotes=frozenset(self.remotes),
            all_remotes=self.all_remotes,
        )
        self.everything = self.nodes = self.links = self.all_remotes = False
        for noted in (self.addresses, self.blocks, self.interfaces, self.remotes):
            noted.clear()
        return dirty
