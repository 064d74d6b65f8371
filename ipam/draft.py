"""A transaction under construction: what was relied on, and the final value of every key to write.

A request is decided on a child draft; `keep` takes it over into its parent, dropping the child
undoes it. So one request's refusal leaves nothing behind in the batch. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from felix_py.datastore import codec
from felix_py.datastore.keys import AffinityKey, BlockKey, HandleKey, Key
from felix_py.datastore.model import (
    AffinityState,
    Block,
    BlockAffinity,
    Handle,
    HandleId,
    IPNetwork,
    WorkloadEndpoint,
)
from felix_py.datastore.store import (
    Compare,
    CreateRevisionIs,
    Delete,
    KeyValue,
    ModRevisionIs,
    PrefixUnchangedSince,
    Put,
    Write,
)
from ipam import block as blocks
from ipam.seen import ABSENT, UNREADABLE, Seen
from ipam.view import View
from ipam.watched import RESERVATIONS

Planned = Block | BlockAffinity | Handle | bytes | None
"""What a key shall hold; None: it shall be absent."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a key holds after the transaction; `raw` None: nothing. Endpoints have no value here."""

    value: Block | BlockAffinity | Handle | None
    raw: bytes | None


class MissingFacts(Exception):
    """These keys must be read before this can be decided: the named ones, all blocks of an IP
    version or just their names, or this node's own blocks once more."""

    def __init__(
        self,
        *keys: Key,
        blocks_of_version: int = 0,
        names_of_version: int = 0,
        own_blocks: bool = False,
    ) -> None:
        super().__init__(keys, blocks_of_version, names_of_version, own_blocks)
        self.keys = keys
        self.blocks_of_version = blocks_of_version
        self.names_of_version = names_of_version
        self.own_blocks = own_blocks


class Unreadable(Exception):
    """A key that this decision must change holds a value that cannot be read."""

    def __init__(self, key: Key) -> None:
        super().__init__(key)
        self.key = key


class Draft:
    """Compares by key, planned values by key; reads fall through to the parent and the view."""

    def __init__(self, view: View, parent: Self | None = None) -> None:
        self.view = view
        self._parent = parent
        self._compared: dict[Key, Compare] = {}
        self._planned: dict[Key, Planned] = {}
        self._reservations = False

    def child(self) -> Draft:
        """A draft on top of this one."""
        return Draft(self.view, self)

    def keep(self) -> None:
        """Take this child over into its parent."""
        assert self._parent is not None, "only a child is kept"
        for key, compare in self._compared.items():
            if isinstance(compare, CreateRevisionIs):  # says less than what the parent may compare
                self._parent._compared.setdefault(key, compare)  # noqa: SLF001  the same class
            else:
                self._parent._compared[key] = compare  # noqa: SLF001
        self._parent._planned |= self._planned  # noqa: SLF001
        self._parent._reservations |= self._reservations  # noqa: SLF001

    def rely(self, key: Key, *, creation_only: bool = False, assume_absent: bool = False) -> Seen:
        """The stored fact, which the transaction will compare. Raises MissingFacts.

        creation_only: the same object, whatever became of it. assume_absent: when nothing is known.
        """
        fact = self.view.get(key) or (ABSENT if assume_absent else None)
        if fact is None or fact.mod_revision == UNREADABLE:
            raise MissingFacts(key)
        if creation_only:
            self._compared.setdefault(key, CreateRevisionIs(key.path, fact.create_revision))
        else:
            self._compared[key] = ModRevisionIs(key.path, fact.mod_revision)
        return fact

    def rely_on_reservations(self) -> None:
        """Nobody may have added a reservation since."""
        self._reservations = True

    def planned(self, key: Key) -> tuple[bool, Planned]:
        """(is a value planned, the value)."""
        for draft in self._chain():
            if key in draft._planned:  # noqa: SLF001
                return True, draft._planned[key]  # noqa: SLF001
        return False, None

    def plan(self, key: Key, value: Planned) -> None:
        """What the key shall hold after the transaction; it must have been relied on."""
        self._planned[key] = value

    def block(self, cidr: IPNetwork) -> Block | None:
        """A block as it will be, None when it is (or will be) absent; not compared yet.

        Raises MissingFacts when nobody has read it, Unreadable.
        """
        key = BlockKey(cidr)
        is_planned, value = self.planned(key)
        if is_planned:
            return value if isinstance(value, Block) else None
        fact = self.view.get(key)
        if fact is None:
            raise MissingFacts(key)
        if fact.exists and not isinstance(fact.value, Block):
            raise Unreadable(key)
        return fact.value if isinstance(fact.value, Block) else None

    def write_block(self, block: Block) -> None:
        """Plan a block's new content and compare what it was, with our affinity if it is ours."""
        key = BlockKey(block.cidr)
        self.rely(key, assume_absent=True)
        if self.view.is_ours(block):
            self.rely(self.view.claim_on(block.cidr))
        self.plan(key, block)

    def drop_block(self, cidr: IPNetwork) -> None:
        """Plan a block's deletion."""
        self.rely(BlockKey(cidr))
        self.plan(BlockKey(cidr), None)

    def handle(self, handle_id: HandleId, *, assume_absent: bool = False) -> Handle:
        """A handle as it will be, which is compared; an absent one holds no blocks."""
        key = HandleKey(handle_id)
        is_planned, value = self.planned(key)
        if is_planned:
            return value if isinstance(value, Handle) else Handle({})
        fact = self.rely(key, assume_absent=assume_absent)
        return fact.value if isinstance(fact.value, Handle) else Handle({})

    def count_handle(self, handle_id: HandleId, touched: frozenset[IPNetwork]) -> None:
        """Plan the handle with the true counts of the blocks it names and of those touched."""
        before = self.handle(handle_id, assume_absent=True)
        counts: dict[IPNetwork, int] = {}
        for cidr in {**before.blocks, **dict.fromkeys(touched, 0)}:
            held = self._held_in(cidr, handle_id)
            if held is None:
                counts[cidr] = before.blocks.get(cidr, 1)
            elif held:
                counts[cidr] = held
        self.rely(HandleKey(handle_id), assume_absent=True)
        self.plan(HandleKey(handle_id), Handle(counts) if counts else None)

    def endpoint(self, key: Key, *, assume_absent: bool = False) -> KeyValue | None:
        """An endpoint as it will be; compared."""
        is_planned, value = self.planned(key)
        fact = self.rely(key, assume_absent=assume_absent)
        if is_planned:
            return None if value is None else self._as_stored(key, value, fact)
        if not fact.exists:
            return None
        return KeyValue(key.path, fact.raw, fact.create_revision, fact.mod_revision)

    def container_of(self, key: Key) -> str | None:
        """The container that owns an endpoint; None when it is absent or unreadable."""
        stored = self.endpoint(key)
        value = codec.decode(key, stored.value) if stored else None
        return None if not isinstance(value, WorkloadEndpoint) else value.container_id

    @property
    def planned_blocks(self) -> set[IPNetwork]:
        """The blocks that will change."""
        return {
            key.cidr
            for draft in self._chain()
            for key in draft._planned  # noqa: SLF001
            if isinstance(key, BlockKey)
        }

    @property
    def claims(self) -> dict[IPNetwork, bool]:
        """Blocks that will be ours (True) or ours no more."""
        found: dict[IPNetwork, bool] = {}
        for draft in reversed(list(self._chain())):
            for key, value in draft._planned.items():  # noqa: SLF001
                if isinstance(key, AffinityKey) and self.view.is_mine(key):
                    found[key.cidr] = value is not None
        return found

    def confirm_affinity(self, cidr: IPNetwork) -> None:
        """Plan our confirmed affinity."""
        key = self.view.claim_on(cidr)
        self.rely(key)
        self.plan(key, BlockAffinity(AffinityState.CONFIRMED))

    def drop_affinity(self, key: AffinityKey) -> None:
        """Plan an affinity's deletion."""
        self.rely(key)
        self.plan(key, None)

    @property
    def keys(self) -> frozenset[Key]:
        """Every key that is compared or written, with the parents'."""
        found: set[Key] = set()
        for draft in self._chain():
            found.update(draft._compared, draft._planned)  # noqa: SLF001
        return frozenset(found)

    @property
    def size_bytes(self) -> int:
        """How long the planned values are, estimated: a change adds little to what is stored."""
        planned: dict[Key, Planned] = {}
        for draft in reversed(list(self._chain())):
            planned |= draft._planned  # noqa: SLF001
        return sum(
            len(value) if isinstance(value, bytes) else len((self.view.get(key) or ABSENT).raw)
            for key, value in planned.items()
        )

    @property
    def compares(self) -> tuple[Compare, ...]:
        """What must still hold."""
        extra: tuple[Compare, ...] = ()
        if self._reservations:
            extra = (PrefixUnchangedSince(RESERVATIONS, self.view.reservations_as_of),)
        return (*self._compared.values(), *extra)

    def writes(self) -> dict[Key, Written]:
        """The writes; a block counted up once. A value as it is already is left out."""
        out: dict[Key, Written] = {}
        for key, value in self._planned.items():
            fact = self.view.get(key) or ABSENT
            if value is None:
                if fact.exists:
                    out[key] = Written(None, None)
                continue
            if isinstance(value, Block):
                if value == fact.value:
                    continue
                value = blocks.written(value)
            raw = value if isinstance(value, bytes) else codec.encode(value)
            if raw != fact.raw or not fact.exists:
                out[key] = Written(None if isinstance(value, bytes) else value, raw)
        return out

    def _held_in(self, cidr: IPNetwork, handle_id: HandleId) -> int | None:
        """How many addresses a handle holds in a block; None: it cannot be read."""
        try:
            block = self.block(cidr)
        except Unreadable:
            return None
        return len(blocks.ordinals_of(block, handle_id)) if block else 0

    def _chain(self) -> Iterator[Draft]:
        draft: Draft | None = self
        while draft is not None:
            yield draft
            draft = draft._parent  # noqa: SLF001

    @staticmethod
    def _as_stored(key: Key, value: Planned, fact: Seen) -> KeyValue:
        raw = value if isinstance(value, bytes) else b""
        return KeyValue(key.path, raw, fact.create_revision, fact.mod_revision)


def store_writes(written: dict[Key, Written]) -> tuple[Write, ...]:
    """The same in the store's words."""
    return tuple(
        Delete(key.path) if each.raw is None else Put(key.path, each.raw)
        for key, each in written.items()
    )
