"""A store with a switch at every write: what happens just before it is sent, and just after it is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from felix_py.datastore.errors import StoreAway
from felix_py.datastore.store import KeyValue, Listing, Outcome, Store, Transaction, Watch

Hook = Callable[[Transaction], None]


def nothing(_: Transaction) -> None:
    """A switch that is off."""


@dataclass(slots=True)
class HookedStore:
    """Implements store.Store by another one; a switch may raise, wait or end the process."""

    store: Store
    before: Hook = nothing
    after: Hook = nothing

    def lose_answers(self, committed: Iterable[bool]) -> None:
        """The next transactions get no answer, in their order: each was carried out, or never sent."""
        left = deque(committed)

        def before(_: Transaction) -> None:
            if left and not left[0]:
                left.popleft()
                raise StoreAway("never sent")

        def after(_: Transaction) -> None:
            if left:
                left.popleft()
                raise StoreAway("no answer in time")

        self.before, self.after = before, after

    def once_before(self, prefix: str, happens: Callable[[], None]) -> None:
        """Something happens between the decision and the next transaction that writes under a prefix."""

        def before(transaction: Transaction) -> None:
            if any(write.key.startswith(prefix) for write in transaction.writes):
                self.switch_off()
                happens()

        self.switch_off()
        self.before = before

    def switch_off(self) -> None:
        """From now on nothing happens but what is asked."""
        self.before = self.after = nothing

    def get(self, key: str) -> KeyValue | None:
        return self.store.get(key)

    def get_many(self, keys: Sequence[str]) -> tuple[dict[str, KeyValue | None], int]:
        return self.store.get_many(keys)

    def list(
        self, prefix: str, *, revision: int = 0, keys_only: bool = False, limit: int = 0
    ) -> Listing:
        return self.store.list(prefix, revision=revision, keys_only=keys_only, limit=limit)

    def pages(self, prefix: str, *, revision: int = 0) -> Iterator[Listing]:
        return self.store.pages(prefix, revision=revision)

    def transact(self, transaction: Transaction) -> Outcome:
        self.before(transaction)
        outcome = self.store.transact(transaction)
        self.after(transaction)
        return outcome

    def compact(self, revision: int) -> None:
        self.store.compact(revision)

    def watch(self, prefixes: Sequence[str], after_revision: int) -> Watch:
        return self.store.watch(prefixes, after_revision)

    def close(self) -> None:
        self.store.close()
