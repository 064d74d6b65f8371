"""Wishes to etcd, each one transaction that compares what it was decided on."""

from __future__ import annotations

import uuid

import structlog

from felix_py.datastore.codec import render_new
from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.store import Delete, ModRevisionIs, Put, Store, Transaction
from felix_py.kube_controllers.wishes import Create, Remove, Wish
from felix_py.runtime.clock import Clock

log = structlog.get_logger(__name__)


class Writer:
    """Writes wishes. Raises StoreAway, whose outcome is unknown: the watch tells, and it is decided again."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def write(self, wish: Wish) -> bool:
        """Whether it stands; False: the key changed meanwhile or the store refused, decide again."""
        path = wish.key.path
        if isinstance(wish, Create):
            raw = render_new(
                wish.key,
                wish.spec,
                uid=str(uuid.uuid4()),
                created_at=f"{self._clock.wall():%Y-%m-%dT%H:%M:%SZ}",
                annotations=wish.annotations,
            )
            compare, change = ModRevisionIs(path, 0), Put(path, raw)
        elif isinstance(wish, Remove):
            return self._commit(wish, ModRevisionIs(path, wish.mod_revision), Delete(path))
        else:
            compare, change = ModRevisionIs(path, wish.mod_revision), Put(path, wish.raw)
        return self._commit(wish, compare, change)

    def _commit(self, wish: Wish, compare: ModRevisionIs, change: Put | Delete) -> bool:
        try:
            done = self._store.transact(Transaction((compare,), (change,))).succeeded
        except StoreRefused as error:
            log.warning("write refused", key=wish.key.path, reason=str(error))
            return False
        if done:
            log.info("written", key=wish.key.path, what=type(wish).__name__.lower())
        return done
