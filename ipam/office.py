"""Decisions of an administrator: not fenced to a node, each one transaction on what was just read.

A lost race reads again and decides again; StoreAway leaves the outcome unknown, and every decision
here may simply be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from felix_py.datastore import codec
from felix_py.datastore.keys import Key, ResourceKey, kind_prefix, parse
from felix_py.datastore.model import Invalid, IPPool, Kind, Node, NodeName
from felix_py.datastore.store import Compare, KeyValue, Store, Transaction
from ipam.draft import Draft, MissingFacts, store_writes
from ipam.errors import GaveUp
from ipam.reader import Reader
from ipam.view import View

T = TypeVar("T")

MAX_CAS_ATTEMPTS = 100
"""Lost races of one decision; then GaveUp."""

MAX_READS = 12
"""Rounds of reading for one decision; then GaveUp."""

NOBODY = NodeName("")
"""The node of a view that belongs to no node: no block is ours."""


def nobodys(store: Store) -> tuple[View, Reader]:
    """A view in which nothing that was not read is known to be absent, and what fills it."""
    view = View(NOBODY, watching=False)
    return view, Reader(store, view)


class Office:
    """Reads and decides on a store, for felixctl and the controllers."""

    def __init__(
        self, store: Store, look: Callable[[Store], tuple[View, Reader]] = nobodys
    ) -> None:
        """look: on what each try decides, and by what the rest is read."""
        self.store, self._look = store, look

    def decide(self, plan: Callable[[Draft], T]) -> T:
        """Plan on fresh facts and commit, until it holds. Raises what the plan refuses, GaveUp."""
        for _ in range(MAX_CAS_ATTEMPTS):
            draft, answer = self._planned(plan)
            writes = store_writes(draft.writes())
            if not writes:
                return answer
            if self.store.transact(Transaction(draft.compares, writes)).succeeded:
                return answer
        raise GaveUp(f"lost {MAX_CAS_ATTEMPTS} races in a row; try again")

    def attempt(self, plan: Callable[[Draft], T], also: tuple[Compare, ...]) -> T | None:
        """Plan on fresh facts and commit once, if `also` holds, too; None: something changed meanwhile.

        Raises what the plan refuses, GaveUp.
        """
        draft, answer = self._planned(plan)
        writes = store_writes(draft.writes())
        if not self.store.transact(Transaction((*draft.compares, *also), writes)).succeeded:
            return None
        return answer

    def objects(self, prefix: str) -> list[tuple[Key, KeyValue]]:
        """Every key of a prefix that is ours to read."""
        found = ((parse(item.key), item) for item in self.store.list(prefix).items)
        return [(key, item) for key, item in found if key is not None]

    def pools(self) -> list[IPPool]:
        """All readable pools, disabled ones too."""
        values = [codec.decode(k, i.value) for k, i in self.objects(kind_prefix(Kind.IP_POOL))]
        return [value for value in values if isinstance(value, IPPool)]

    def node(self, name: NodeName) -> Node | None:
        """A Node object."""
        key = ResourceKey(Kind.NODE, name)
        stored = self.store.get(key.path)
        value = codec.decode(key, stored.value) if stored else None
        return None if value is None or isinstance(value, Invalid) else _as_node(value)

    def delete_unchanged(self, keys: Iterable[tuple[Key, KeyValue]]) -> None:
        """Delete keys, each only as it was read; one that changed meanwhile is left."""
        for key, item in keys:
            self.decide(lambda draft, key=key, item=item: _delete(draft, key, item))  # type: ignore[misc]

    def _planned(self, plan: Callable[[Draft], T]) -> tuple[Draft, T]:
        view, reader = self._look(self.store)
        for _ in range(MAX_READS):
            draft = Draft(view)
            try:
                return draft, plan(draft)
            except MissingFacts as missing:
                reader.fill([missing])
        raise GaveUp(f"a decision needs more than {MAX_READS} reads")


def _as_node(value: object) -> Node | None:
    return value if isinstance(value, Node) else None


def _delete(draft: Draft, key: Key, item: KeyValue) -> None:
    if draft.rely(key).mod_revision == item.mod_revision:
        draft.plan(key, None)
