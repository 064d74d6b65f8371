"""Reads what decisions miss into the view: single keys, all blocks of a version, own blocks again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from felix_py.datastore.keys import BlockKey, Key, block_prefix, parse
from felix_py.datastore.store import MAX_OPERATIONS, KeyValue, Store
from ipam.draft import MissingFacts
from ipam.seen import ABSENT, Seen, seen
from ipam.view import View
from ipam.watched import RESERVATIONS


class Reader:
    """Fills a View from a Store. Every method raises StoreAway."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def fill(self, missing: Sequence[MissingFacts]) -> None:
        """Read what several decisions miss, each key once."""
        for version in sorted({each.blocks_of_version for each in missing} - {0}):
            self.list_blocks(version)
        for version in sorted({each.names_of_version for each in missing} - {0}):
            self.list_names(version)
        keys: dict[Key, None] = dict.fromkeys(key for each in missing for key in each.keys)
        if any(each.own_blocks for each in missing):
            keys |= dict.fromkeys(BlockKey(key.cidr) for key, _ in self._view.affinities)
            self._view.own_blocks_fresh = True
        self.read(keys)

    def read(self, keys: Iterable[Key]) -> None:
        """Read keys, as many at one revision as the store allows."""
        wanted = list(keys)
        for start in range(0, len(wanted), MAX_OPERATIONS):
            part = wanted[start : start + MAX_OPERATIONS]
            found, revision = self._store.get_many([key.path for key in part])
            for key in part:
                self._view.learn(key, self._seen(key, found.get(key.path), revision))

    def _seen(self, key: Key, found: KeyValue | None, revision: int) -> Seen:
        """What is as it was is not decoded again."""
        known = self._view.facts.get(key)
        if known is None or found is None or known.raw != found.value:
            return seen(key, found, revision)
        revisions = (found.mod_revision, found.create_revision)
        if revisions != (known.mod_revision, known.create_revision):
            return seen(key, found, revision)
        return replace(known, as_of=revision)

    def list_blocks(self, version: int) -> None:
        """All blocks of an IP version at one revision; unreadable ones count as taken."""
        listing = self._store.list(block_prefix(version))
        cidrs = []
        for item in listing.items:
            key = parse(item.key)
            if isinstance(key, BlockKey):
                cidrs.append(key.cidr)
                self._view.learn(key, self._seen(key, item, listing.revision))
        self._view.listed[version] = tuple(cidrs)
        self._view.note_names(version, cidrs)

    def list_names(self, version: int) -> None:
        """Which blocks of an IP version there are, not what they hold."""
        listing = self._store.list(block_prefix(version), keys_only=True)
        keys = (parse(item.key) for item in listing.items)
        self._view.note_names(version, (key.cidr for key in keys if isinstance(key, BlockKey)))

    def take_in(
        self, keys: Iterable[Key], found: dict[str, KeyValue | None], revision: int
    ) -> bool:
        """Note what a lost race found; True when any of it was news. What nobody knew was compared as
        absent, so that it is none when it is."""
        news = False
        for key in keys:
            if key.path not in found:
                continue
            fresh = seen(key, found[key.path], revision)
            known = self._view.get(key) or ABSENT
            news |= known.mod_revision != fresh.mod_revision
            self._view.learn(key, fresh)
        return news

    def list_reservations(self) -> None:
        """Reservations are compared by a range, so what changed there must be listed."""
        revision = self.list_known(RESERVATIONS)
        self._view.reservations_as_of = max(self._view.reservations_as_of, revision)

    def list_known(self, prefix: str) -> int:
        """All keys of a prefix, as a watch would have told them; the revision at which they were."""
        listing = self._store.list(prefix)
        present = {}
        for item in listing.items:
            key = parse(item.key)
            if key is not None:
                present[key] = seen(key, item, listing.revision)
        known = (key for key in self._view.facts if key.path.startswith(prefix))
        self._view.forget([key for key in known if key not in present])
        for key, fact in present.items():
            self._view.learn(key, fact)
        return listing.revision
