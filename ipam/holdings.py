"""An index over the blocks that a view knows: which handles each names, and which are full. Pure.

A node with many blocks decides as fast as one with a single block: nothing walks through all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from felix_py.datastore.model import Block, HandleId, IPNetwork, PoolName

NOBODY: frozenset[HandleId | None] = frozenset()


@dataclass(slots=True)
class Holdings:
    """`note` tells it of every change of a block."""

    full: set[IPNetwork] = field(default_factory=set)
    """Those without a free address."""
    inside: dict[tuple[PoolName, ...], dict[IPNetwork, None]] = field(default_factory=dict)
    """What own.inside found."""
    with_room: dict[tuple[PoolName, ...], dict[IPNetwork, None]] = field(default_factory=dict)
    """What own.with_room found."""
    _named: dict[IPNetwork, frozenset[HandleId | None]] = field(default_factory=dict)
    _holding: dict[HandleId | None, dict[IPNetwork, None]] = field(default_factory=dict)

    def of(self, handle_id: HandleId) -> tuple[IPNetwork, ...]:
        """The blocks that name a handle."""
        return tuple(self._holding.get(handle_id, ()))

    def forget_claims(self) -> None:
        """Pools or affinities changed."""
        self.inside.clear()
        self.with_room.clear()

    def note(self, cidr: IPNetwork, block: Block | None) -> None:
        """A block as it is now; None: it is absent, unreadable or not known any more."""
        before = self._named.pop(cidr, NOBODY)
        now = NOBODY if block is None else frozenset(a.handle_id for a in block.attributes)
        for handle_id in before - now:
            cidrs = self._holding[handle_id]
            del cidrs[cidr]
            if not cidrs:
                del self._holding[handle_id]
        for handle_id in now - before:
            self._holding.setdefault(handle_id, {})[cidr] = None
        if now:
            self._named[cidr] = now
        is_full = block is not None and not block.unallocated
        if is_full != (cidr in self.full):
            self.full ^= {cidr}
            self.with_room.clear()
