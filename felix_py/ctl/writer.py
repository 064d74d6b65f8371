"""Writes resources: checked as our daemons will read them, compared and swapped, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from felix_py.ctl import policies, rules
from felix_py.ctl.change import Change, difference
from felix_py.ctl.documents import Document, refuse_strangers
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from felix_py.ctl.stored_text import identified, loaded, mapping, merged_text, new_text, readable
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import BlockKey, ResourceKey, block_prefix, kind_prefix, parse
from felix_py.datastore.model import IPNetwork, IPPool, Kind
from felix_py.datastore.store import (
    Compare,
    Delete,
    KeyValue,
    ModRevisionIs,
    PrefixUnchangedSince,
    Store,
    Transaction,
)

__all__ = ["Change", "Writer", "check"]

MAX_ATTEMPTS = 5
"""Tries of a change that loses its race; then the user is told."""


class Writer:
    """create, apply, replace, delete and label against one store.

    show: is given the lines that differ, once for each change; dry_run: nothing is written.
    agree: is given each change before it is written; answers it with what else is to be compared.
    """

    def __init__(
        self,
        store: Store,
        *,
        dry_run: bool = False,
        show: Callable[[str], None] | None = None,
        agree: Callable[[Change], Change] | None = None,
    ) -> None:
        self._store = store
        self._agree = agree
        self._dry_run = dry_run
        self._show = show

    def create(self, document: Document) -> str:
        """Write an object that must not be there yet; what was done, for people."""
        if document.resource_version:
            raise CommandError(
                f"{document.title}: metadata.resourceVersion must be empty to create"
            )

        def foresee() -> Change:
            change = self.foresee(document)
            if change.before is not None:
                raise Conflict(f"{change.title}: already there; use apply to change it")
            return change

        return self.settle(document.title, foresee)

    def apply(self, document: Document) -> str:
        """Create or replace; labels and spec are the document's, the rest is kept."""
        return self.settle(document.title, lambda: self.foresee(document))

    def replace(self, document: Document) -> str:
        """Put the document in the place of an object that must be there."""

        def foresee() -> Change:
            change = self.foresee(document, whole=True)
            if change.before is None:
                raise NotThere(f"{change.title}: not there; use create")
            return change

        return self.settle(document.title, foresee)

    def foresee(self, document: Document, *, whole: bool = False) -> Change:
        """What `apply` (or, `whole`, `replace`) would write, checked against what is stored.

        Raises CommandError.
        """
        document = rules.complete(document)
        title = document.title
        document, stored = self._placed(document)
        if stored is None:
            return self._new(document)
        _check_version(document, stored)
        refuse_strangers(document, loaded(stored.value, title))
        raw = merged_text(document, stored.value, whole=whole)
        return self.checked(Change(document.key, title, stored, raw))

    def edit(self, key: ResourceKey, title: str, change: Callable[[KeyValue], bytes]) -> str:
        """Rewrite a stored object by a function of what is stored, compared and swapped."""

        def foresee() -> Change:
            stored = self._store.get(key.path)
            if stored is None:
                raise NotThere(f"{title}: not there")
            raw = change(stored)
            if raw != stored.value:
                raw = identified(key, raw, title)
            return self.checked(Change(key, title, stored, raw))

        return self.settle(title, foresee)

    def settle(self, title: str, foresee: Callable[[], Change]) -> str:
        """Write what was foreseen; foresee it again when somebody was faster. What was done."""
        for _ in range(MAX_ATTEMPTS):
            change = foresee()
            if change.unchanged:
                return f"{change.title} unchanged"
            if self._dry_run:
                self._tell(change)
                return f"{change.title} would be {change.done}"
            change = change if self._agree is None else self._agree(change)
            if self._store.transact(Transaction(change.compares, (change.write,))).succeeded:
                self._tell(change)
                return f"{change.title} {change.done}"
        raise Conflict(f"{title}: changed by others {MAX_ATTEMPTS} times meanwhile; try again")

    def delete(self, key: ResourceKey, title: str, *compares: Compare) -> str:
        """Remove an object; what was done, for people. Raises NotThere, Conflict."""
        stored = self._store.get(key.path)
        if stored is None:
            raise NotThere(f"{title}: not there")
        outcome = self._store.transact(
            Transaction(
                (ModRevisionIs(stored.key, stored.mod_revision), *compares), (Delete(stored.key),)
            )
        )
        if not outcome.succeeded:
            raise Conflict(f"{title}: somebody else changed it just now; try again")
        return f"{title} deleted"

    def checked(self, change: Change) -> Change:
        """A change of a stored object, when daemons can read what comes out. Raises CommandError."""
        if change.before is None or change.unchanged:
            return change
        value = readable(change.key, change.after, change.title)
        before = decode(change.key, change.before.value)
        if isinstance(value, IPPool) and isinstance(before, IPPool):
            rules.check_unchanged(before, value, change.title)
        return replace(change, room=self._tier_of(change.key, change.after, change.title))

    def _new(self, document: Document) -> Change:
        title = document.title
        if document.resource_version:
            raise NotThere(
                f"{title}: not there any more; remove metadata.resourceVersion to create it"
            )
        refuse_strangers(document)
        raw = new_text(document)
        value = readable(document.key, raw, title)
        room = self._room_for(value) if isinstance(value, IPPool) else ()
        room += self._tier_of(document.key, raw, title)
        return Change(document.key, title, None, raw, room)

    def _placed(self, document: Document) -> tuple[Document, KeyValue | None]:
        """The document at the key where the object stands, which for an old policy is another."""
        stored = self._store.get(document.key.path)
        old = policies.old_key(document)
        if stored is not None or old is None:
            return document, stored
        stored = self._store.get(old.path)
        return (document, None) if stored is None else (replace(document, key=old), stored)

    def _tier_of(self, key: ResourceKey, raw: bytes, title: str) -> tuple[Compare, ...]:
        """Refuse a policy without its tier; a tier that goes meanwhile fails the transaction."""
        if key.kind not in policies.TIERED:
            return ()
        name = mapping(loaded(raw, title).get("spec")).get("tier") or policies.DEFAULT_TIER
        tier = self._store.get(ResourceKey(Kind.TIER, str(name)).path)
        if tier is None:
            hint = "run felixctl init" if name in policies.BUILT_IN else "create it first"
            raise CommandError(f"{title}: spec.tier: Tier({name}) is not there; {hint}")
        return (ModRevisionIs(tier.key, tier.mod_revision),)

    def _room_for(self, pool: IPPool) -> tuple[Compare, ...]:
        """Refuse what overlaps; a pool that somebody else makes meanwhile fails the transaction."""
        prefix = kind_prefix(Kind.IP_POOL)
        listing = self._store.list(prefix)
        pools = [
            value
            for item in listing.items
            if (key := parse(item.key)) and isinstance(value := decode(key, item.value), IPPool)
        ]
        rules.check_room(pool, pools, self._blocks(pool.cidr.version))
        return (PrefixUnchangedSince(prefix, listing.revision),)

    def _blocks(self, version: int) -> list[IPNetwork]:
        keys = self._store.list(block_prefix(version), keys_only=True).items
        return [key.cidr for item in keys if isinstance(key := parse(item.key), BlockKey)]

    def _tell(self, change: Change) -> None:
        if self._show is not None:
            before = None if change.before is None else change.before.value
            self._show(difference(change.key, before, change.after))


def check(document: Document, *, stored: bool = False) -> None:
    """Raises CommandError when the document could not be written, whatever is stored.

    stored: fields that the kind's table does not know may be stored already, so they pass.
    """
    if not stored:
        refuse_strangers(document)
    try:
        complete = rules.complete(document)
    except CommandError:
        refuse_strangers(document)
        raise
    readable(complete.key, new_text(complete), complete.title)


def _check_version(document: Document, stored: KeyValue) -> None:
    given = document.resource_version
    if given and given != str(stored.mod_revision):
        raise Conflict(
            f"{document.title}: metadata.resourceVersion is {given} in {document.source} and "
            f"{stored.mod_revision} in etcd; get it again or remove the field"
        )
