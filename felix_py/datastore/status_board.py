"""A daemon's own status as a key in the store: what `felixctl status` shows of the fleet."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import structlog

from felix_py.datastore.codec import encode
from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.identity import CLUSTER
from felix_py.datastore.keys import ControllersKey, StatusKey
from felix_py.datastore.model_own import DaemonStatus
from felix_py.datastore.store import ModRevisionIs, Put, Store, Transaction

INTERVAL_SECONDS = 5.0
"""At most one write in this time: 5,000 nodes with three daemons stay under 3,000 writes a second."""
MAX_STATUS_BYTES = 64 * 1024
"""A longer document is not published; the status file has it all."""

log = structlog.get_logger(__name__)


class StatusBoard:
    """Publishes the newest document, only when it changed. Called from one thread, often."""

    def __init__(self, store: Store, key: StatusKey | ControllersKey) -> None:
        self._store = store
        self._key = key.path
        self._published: str | None = None
        self._tried_at = float("-inf")
        self._seen: tuple[int, int] | None = None
        """At which revisions ClusterInformation and our key stand in the store that we know."""

    def publish(self, document: Mapping[str, object]) -> None:
        """Write the document if it is new and the interval has passed; never raises for the store.

        While the store is frozen, away or not read yet, nothing is written: what answers first after that
        may be somebody else's, and writes would raise the revision by which a store that went back is
        known. The status file tells.

        A write may be under way while etcd is replaced: it compares what we know of the store, so that
        it lands in no other.

        What was held back is written by a later call: call it once per round of the daemon's loop.
        The store's revision is left out: every write raises it, and a fleet that published it would
        make itself publish for ever.
        """
        if not _trusts_store(document):
            self._published = self._seen = None
            return
        text = json.dumps(_without_revision(document), sort_keys=True)
        now = time.monotonic()
        if text == self._published or now - self._tried_at < INTERVAL_SECONDS:
            return
        self._tried_at = now
        value = encode(DaemonStatus(json.loads(text)))
        if len(value) > MAX_STATUS_BYTES:
            log.warning("status is too long to publish", size_bytes=len(value), key=self._key)
            self._published = text
            return
        if self._write(value):
            self._published = text

    def _write(self, value: bytes) -> bool:
        """One transaction; False: try again after the interval, with a fresh look."""
        seen, self._seen = self._seen, None
        try:
            seen = seen or self._look()
            if seen is None:
                return False
            cluster, own = seen
            compares = (ModRevisionIs(CLUSTER.path, cluster), ModRevisionIs(self._key, own))
            outcome = self._store.transact(Transaction(compares, (Put(self._key, value),)))
        except StoreAway:
            self._tried_at = time.monotonic()
            return False
        except StoreRefused as error:
            log.warning("status was refused by the store", key=self._key, error=str(error))
            return False
        if outcome.succeeded:
            self._seen = (cluster, outcome.revision)
        return outcome.succeeded

    def _look(self) -> tuple[int, int] | None:
        """None: there is no cluster in this store."""
        found, _ = self._store.get_many((CLUSTER.path, self._key))
        cluster, own = found[CLUSTER.path], found[self._key]
        if cluster is None:
            return None
        return cluster.mod_revision, 0 if own is None else own.mod_revision


def _without_revision(document: Mapping[str, object]) -> dict[str, object]:
    store = document.get("store")
    if not isinstance(store, dict):
        return dict(document)
    kept = {name: value for name, value in store.items() if name != "revision"}
    return {**document, "store": kept}


def _trusts_store(document: Mapping[str, object]) -> bool:
    store = document.get("store")
    if not isinstance(store, dict):
        return True
    settled = store.get("inSync", True) and store.get("connected", True)
    return bool(settled) and not store.get("frozen")
