"""The port on a real etcd (3.4 and newer), by etcd3's generated stubs.

etcd3's own helpers are not used: `transaction()` drops the revision, ranges ignore limit and
revision, and its watch thread neither notices compaction nor a forbidden watch.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Self

from felix_py.datastore import etcd_messages
from felix_py.datastore.errors import RevisionCompacted, StoreRefused
from felix_py.datastore.etcd_channel import Cluster
from felix_py.datastore.etcd_protobuf import Message, rpc
from felix_py.datastore.etcd_watch import EtcdWatch
from felix_py.datastore.settings import DatastoreSettings
from felix_py.datastore.store import MAX_OPERATIONS, KeyValue, Listing, Outcome, Transaction

PAGE_KEYS = 1_000
"""Keys per page of a listing: etcd answers other requests between pages."""


class EtcdStore:
    """A store.Store. Connects at the first call, so an etcd that is away is no error before."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._watches: set[EtcdWatch] = set()
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, settings: DatastoreSettings) -> Self:
        """A store by its settings. Raises StoreRefused when the settings cannot be used."""
        return cls(Cluster(settings))

    def get(self, key: str) -> KeyValue | None:
        """One key, None when absent."""
        response = self._range(rpc.RangeRequest(key=key.encode()))
        return next(etcd_messages.key_values(response.kvs), None)

    def get_many(self, keys: Sequence[str]) -> tuple[dict[str, KeyValue | None], int]:
        """Several keys at one revision, with that revision."""
        if len(keys) > MAX_OPERATIONS:
            raise StoreRefused(f"{len(keys)} keys at once; at most {MAX_OPERATIONS}")
        request = etcd_messages.reading_request(keys)
        response = self._cluster.read(
            lambda member, seconds, metadata: member.kv.Txn(
                request, timeout=seconds, metadata=metadata
            )
        )
        return etcd_messages.read_keys(keys, response), response.header.revision

    def list(
        self, prefix: str, *, revision: int = 0, keys_only: bool = False, limit: int = 0
    ) -> Listing:
        """All keys of a prefix at one revision. Raises RevisionCompacted, StoreWentBack."""
        items: list[KeyValue] = []
        for page in self._pages(prefix, revision, limit, keys_only=keys_only):
            items.extend(page.items)
        return Listing(tuple(items), page.revision, page.cluster_id)

    def pages(self, prefix: str, *, revision: int = 0) -> Iterator[Listing]:
        """The same, a page at a time."""
        return self._pages(prefix, revision, 0, keys_only=False)

    def _pages(
        self, prefix: str, revision: int, limit: int, *, keys_only: bool
    ) -> Iterator[Listing]:
        """At least one page; all of one revision."""
        start, end = etcd_messages.prefix_start(prefix), etcd_messages.prefix_end(prefix)
        count = 0
        while True:
            most = min(PAGE_KEYS, limit - count) if limit else PAGE_KEYS
            request = rpc.RangeRequest(
                key=start, range_end=end, limit=most, revision=revision, keys_only=keys_only
            )
            response = self._range(request)
            revision = revision or response.header.revision
            count += len(response.kvs)
            items = tuple(etcd_messages.key_values(response.kvs))
            yield Listing(items, revision, response.header.cluster_id)
            if not response.more or not response.kvs or (limit and count >= limit):
                return
            start = response.kvs[-1].key + b"\0"

    def transact(self, transaction: Transaction) -> Outcome:
        """One atomic step. StoreAway: it may have happened, it may still happen."""
        request = etcd_messages.transaction_request(transaction)
        response = self._cluster.write(
            lambda member, seconds, metadata: member.kv.Txn(
                request, timeout=seconds, metadata=metadata
            )
        )
        return etcd_messages.outcome(transaction, response)

    def compact(self, revision: int) -> None:
        """Forget the history below this revision; forgotten already is fine."""
        request = rpc.CompactionRequest(revision=revision)
        with suppress(RevisionCompacted):
            self._cluster.write(
                lambda member, seconds, metadata: member.kv.Compact(
                    request, timeout=seconds, metadata=metadata
                )
            )

    def watch(self, prefixes: Sequence[str], after_revision: int) -> EtcdWatch:
        """Every change of these prefixes after this revision; errors come from its `next`."""
        watch = EtcdWatch(self._cluster, prefixes, after_revision, self._forget)
        with self._lock:
            self._watches.add(watch)
        return watch

    def close(self) -> None:
        """End all watches and channels; later calls raise StoreAway."""
        with self._lock:
            watches = builtins.list(self._watches)
        for watch in watches:
            watch.close()
        self._cluster.close()

    def _range(self, request: Message) -> Message:
        return self._cluster.read(
            lambda member, seconds, metadata: member.kv.Range(
                request, timeout=seconds, metadata=metadata
            )
        )

    def _forget(self, watch: EtcdWatch) -> None:
        with self._lock:
            self._watches.discard(watch)
