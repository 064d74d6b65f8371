"""Keeps a daemon's mailbox equal to the store: list, watch, list again, and hold still when the
store went back.

Shaped by what goes wrong with etcd:
- a watch ends by compaction, lost connection or lost leader: then everything is listed again and
  compared with what was delivered, so that keys that vanished meanwhile are delivered as deleted;
- a wiped or restored etcd keeps its cluster id, and a watch beyond its revision is accepted and
  silent: a linearizable read every second is what notices (and every list checks each held key);
- the revision of a restored store grows past the one we knew as soon as others write into it: a store
  that once went back is in doubt until it shows the newest value that we saw, or is accepted;
- an empty store must never look like a cluster without pods: `frozen`, and nothing is delivered.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace

import structlog

from felix_py.datastore.changes import STORE_STATE, StoreState, SyncMailbox
from felix_py.datastore.concern import Reading, everything
from felix_py.datastore.deliveries import Deliveries
from felix_py.datastore.errors import (
    RevisionCompacted,
    StoreAway,
    StoreRefused,
    StoreWentBack,
)
from felix_py.datastore.history import History
from felix_py.datastore.identity import ACCEPTED, CLUSTER, Cause, Frozen, Identity, identity_of
from felix_py.datastore.judge import Judge
from felix_py.datastore.refill import Refill
from felix_py.datastore.store import EventBatch, KeyValue, Store, Watch
from felix_py.runtime.clock import Clock
from felix_py.runtime.metrics import STORE_FROZEN, STORE_RELISTS
from felix_py.runtime.schedule import Backoff, Interval

PROBE_SECONDS = 1.0
READ_SECONDS = 0.2
"""The longest a watch is waited for before the stop event is looked at."""
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 5.0
"""A jitter of half to one and a half times keeps a fleet from listing at the same instant."""
RECHECK_SECONDS = 10.0
"""How often a store whose keys were older than ours is listed again while frozen."""

log = structlog.get_logger(__name__)


class Syncer:
    """One thread's work: `run` until the stop event. Never raises for what the store does."""

    def __init__(  # noqa: PLR0913  each is a border of its own
        self,
        store: Store,
        prefixes: Sequence[str],
        sink: SyncMailbox,
        history: History,
        clock: Clock,
        *,
        refill: Refill | None = None,
        reading: Reading = everything,
    ) -> None:
        """reading: what of all that lies under the prefixes is delivered; all of it shows the store's age.
        refill: after a store was accepted, what is waited for before this daemon follows it."""
        self._refill = refill or Refill()
        self._store = store
        self._prefixes = _disjoint((*prefixes, CLUSTER.path, ACCEPTED))
        self._sink = sink
        self._history = history
        self._judge = Judge(store, history)
        self._clock = clock
        self._delivered = Deliveries(sink, reading)
        self._state = StoreState(in_sync=False, connected=False, frozen=None, revision=0)
        self._identity = Identity()
        self._backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)

    def run(self, stop: threading.Event) -> None:
        """List, follow, and start over whenever the store makes it necessary."""
        self._sink.put(STORE_STATE, self._state)
        try:
            while not stop.is_set():
                try:
                    self._follow(self._list(), stop)
                except Frozen as frozen:
                    self._stay_frozen(frozen, stop)
                except (StoreAway, StoreRefused, RevisionCompacted, StoreWentBack) as error:
                    self._disconnected(error, stop)
        finally:
            self._history.flush()

    def _list(self) -> int:
        """Everything at one revision, delivered; that revision. Raises Frozen."""
        revision = 0
        items: list[KeyValue] = []
        for prefix in self._prefixes:
            listing = self._store.list(prefix, revision=revision)
            revision = listing.revision
            items.extend(listing.items)
        held = {item.key: item for item in items}
        self._check(identity_of(held.get(CLUSTER.path), held.get(ACCEPTED)), revision)
        older = self._delivered.older_than_delivered(items) or self._judge.older_witness(held)
        if older is not None:
            reason = f"the store went back: {older} is at a lower revision than before"
            reason = f"{reason}; it was restored from a snapshot"
            self._judge.doubt(reason, revision)
            raise Frozen(reason, Cause.WENT_BACK, recheck=True)
        count = self._delivered.replace(items)
        if items:
            self._history.saw(max(items, key=lambda item: item.mod_revision))
        log.info("store listed", keys=len(items), changed=count, revision=revision)
        self._backoff.succeeded()
        STORE_FROZEN.labels(self._history.daemon).set(0)
        self._publish(StoreState(in_sync=True, connected=True, frozen=None, revision=revision))
        return revision

    def _follow(self, revision: int, stop: threading.Event) -> None:
        """Deliver what the watch says until it ends by error, or the store was accepted anew."""
        watch = self._store.watch(self._prefixes, revision)
        try:
            probe = Interval(PROBE_SECONDS)
            while not stop.is_set():
                if probe.due(self._clock.now()):
                    self._probe()
                self._read(watch)
                if self._delivered.forgotten:
                    return
        finally:
            watch.close()

    def _read(self, watch: Watch) -> None:
        batch = watch.next(READ_SECONDS)
        if batch is None:
            return
        # The probe may have seen a higher revision than the watch has come to.
        self._check(self._identity_after(batch), max(batch.revision, self._history.highest))
        for event in batch.events:
            self._delivered.apply(event)
            if event.value is not None:
                self._history.saw(event.value)
            if event.key == ACCEPTED:
                self._history.saw_nonce(identity_of(None, event.value).nonce)
        self._publish(
            replace(self._state, connected=True, revision=max(batch.revision, self._state.revision))
        )

    def _identity_after(self, batch: EventBatch) -> Identity:
        """What the batch leaves of the two keys that tell the cluster."""
        held: dict[str, KeyValue | None] = dict(self._identity.held)
        for event in batch.events:
            if event.key in held:
                held[event.key] = event.value
        if held == self._identity.held:
            return self._identity
        return identity_of(held[CLUSTER.path], held[ACCEPTED])

    def _probe(self) -> None:
        """A linearizable look at revision and GUID. A store that is away is only noted: the watch
        says itself when it is lost. The revision is not published: events before it may be due."""
        try:
            identity, revision = self._look()
        except StoreAway as error:
            if self._state.connected:
                log.warning("store is away", error=str(error))
            self._lost(error)
            return
        self._check(identity, revision)
        self._publish(replace(self._state, connected=True, problem=""))

    def _look(self) -> tuple[Identity, int]:
        found, revision = self._store.get_many((CLUSTER.path, ACCEPTED))
        return identity_of(found[CLUSTER.path], found[ACCEPTED]), revision

    def _check(self, identity: Identity, revision: int) -> None:
        """Raise Frozen unless this is the store we know, or one that was accepted."""
        frozen = self._state.frozen is not None
        if self._judge.accepts(identity, revision, frozen=frozen):
            log.warning("store accepted", guid=identity.guid, revision=revision)
            self._history.accept(identity.guid, revision, identity.nonce)
            self._delivered.forget_revisions()
        self._judge.check(identity, revision)
        self._identity = identity

    def _stay_frozen(self, frozen: Frozen, stop: threading.Event) -> None:
        """Deliver nothing until the data is back or an operator accepts what there is."""
        log.error("store is not trusted, holding still", reason=frozen.reason)
        STORE_FROZEN.labels(self._history.daemon).set(1)
        self._delivered.distrust_revisions()
        self._hold(frozen)
        recheck = Interval(RECHECK_SECONDS)
        recheck.due(self._clock.now())
        reason = frozen.reason
        while not stop.wait(PROBE_SECONDS):
            try:
                identity, revision = self._look()
                self._check(identity, revision)
            except (StoreAway, StoreRefused) as error:
                self._lost(error)
                log.warning("store is away", error=str(error))
            except Frozen as still:
                reason = still.reason
                self._hold(still)
            else:
                if (
                    not frozen.recheck
                    or self._delivered.forgotten
                    or recheck.due(self._clock.now())
                ):
                    break
        if self._delivered.forgotten:
            self._refill.wait(self._store, self._delivered.paths, self._clock, stop)
        log.info("store will be listed again", was_frozen=reason)

    def _hold(self, frozen: Frozen) -> None:
        held = replace(self._state, connected=True, frozen=frozen.reason, problem="")
        self._publish(replace(held, cause=frozen.cause))

    def _disconnected(self, error: Exception, stop: threading.Event) -> None:
        STORE_RELISTS.labels(type(error).__name__).inc()
        self._lost(error)
        wait = self._backoff.failed() * random.uniform(0.5, 1.5)
        log.warning("store will be listed again", reason=str(error), in_seconds=round(wait, 2))
        stop.wait(wait)

    def _lost(self, error: Exception) -> None:
        self._publish(replace(self._state, connected=False, problem=str(error)))

    def _publish(self, state: StoreState) -> None:
        """Put the state if it is news."""
        if state != self._state:
            self._state = state
            self._sink.put(STORE_STATE, state)


def _disjoint(prefixes: Sequence[str]) -> tuple[str, ...]:
    """The prefixes without those that another one covers."""
    return tuple(
        prefix
        for prefix in dict.fromkeys(prefixes)
        if not any(prefix != other and prefix.startswith(other) for other in prefixes)
    )
