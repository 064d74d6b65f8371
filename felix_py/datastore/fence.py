"""This node's session key: one writer per node, and no transaction whose outcome stays unknown.

etcd may carry out a transaction after its caller gave up (seen on 3.4: a transaction that timed out
without a quorum was committed when the quorum came back). Every transaction of ours compares the
session key and replaces it; once it has been replaced otherwise, a late one can only fail.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from felix_py.datastore.codec import decode, encode
from felix_py.datastore.errors import LostRace, NotTheWriter, StoreAway, StoreWentBack
from felix_py.datastore.keys import SessionKey
from felix_py.datastore.model import NodeName
from felix_py.datastore.model_own import Session
from felix_py.datastore.store import (
    Compare,
    KeyValue,
    ModRevisionIs,
    Outcome,
    Put,
    Store,
    Transaction,
    Write,
)

OPEN_ATTEMPTS = 5
"""Lost races while opening; more means that another process keeps writing: LostRace."""


@dataclass(frozen=True, slots=True)
class _Unsettled:
    """The nonce of the transaction that got no answer, and the one that settling puts."""

    nonce: str
    settling: str


class Fence:
    """The right to write for a node. One thread owns it.

    `open` once, then `commit`. After StoreAway from `commit` the fence is `unsettled`: call `settle`
    until it answers, before anything else is decided or promised.
    """

    def __init__(self, store: Store, node: NodeName, machine_id: str) -> None:
        self._store = store
        self._node = node
        self._machine_id = machine_id
        self._key = SessionKey(node)
        self._revision = 0
        self._unsettled: _Unsettled | None = None

    @property
    def unsettled(self) -> bool:
        """True while the outcome of the last transaction is unknown."""
        return self._unsettled is not None

    @property
    def revision(self) -> int:
        """The session key's revision that we hold; 0 before `open`."""
        return self._revision

    def open(self, *, takeover: bool = False) -> None:
        """Become the writer: replace the session key; transactions of earlier processes then fail.

        Raises NotTheWriter when the key carries another machine's id, unless `takeover`;
        StoreWentBack when the key is older than what we held; StoreAway; LostRace.
        """
        assert not self.unsettled, "settle first"
        for _ in range(OPEN_ATTEMPTS):
            held = self._store.get(self._key.path)
            if held is not None and not takeover:
                self._check_machine(held)
            self._check_history(held)
            compare = ModRevisionIs(self._key.path, held.mod_revision if held else 0)
            outcome = self._store.transact(Transaction((compare,), (self._put(_nonce()),)))
            if outcome.succeeded:
                self._revision = outcome.revision
                return
        raise LostRace(f"{self._key.path}: replaced by another process {OPEN_ATTEMPTS} times")

    def reopen(self) -> None:
        """The store went back and is trusted again: nothing held of it counts any more. As `open`."""
        self._revision, self._unsettled = 0, None
        self.open()

    def commit(
        self,
        compares: Sequence[Compare],
        writes: Sequence[Write],
        on_failure_get: Sequence[str] = (),
    ) -> Outcome:
        """One transaction as this node's writer: at most 127 compares, writes and reads each.

        `succeeded` False: one of the caller's compares did not hold. Raises NotTheWriter when
        another took the session over, StoreWentBack, StoreRefused (nothing was written), StoreAway
        (unsettled now).
        """
        assert self._revision, "open first"
        assert not self.unsettled, "settle first"
        nonce = _nonce()
        transaction = Transaction(
            (self._compare(), *compares),
            (self._put(nonce), *writes),
            (self._key.path, *on_failure_get),
        )
        try:
            outcome = self._store.transact(transaction)
        except StoreAway:
            self._unsettled = _Unsettled(nonce, _nonce())
            raise
        if outcome.succeeded:
            self._revision = outcome.revision
            return Outcome(succeeded=True, revision=outcome.revision)
        self._check_still_ours(outcome.found[self._key.path])
        found = {key: outcome.found[key] for key in on_failure_get}
        return Outcome(succeeded=False, revision=outcome.revision, found=found)

    def settle(self) -> bool:
        """True: the unsettled transaction did commit. False: it did not and never will.

        Raises StoreAway while the store is away (call again), NotTheWriter and StoreWentBack when
        the session is no longer ours: then nobody can say any more.
        """
        pending = self._unsettled
        if pending is None:
            return False
        outcome = self._store.transact(
            Transaction((self._compare(),), (self._put(pending.settling),), (self._key.path,))
        )
        if outcome.succeeded:
            self._revision, self._unsettled = outcome.revision, None
            return False
        held = outcome.found[self._key.path]
        session = self._session(held)
        if (
            held is None
            or session is None
            or session.nonce not in {pending.nonce, pending.settling}
        ):
            self._check_still_ours(held)
            raise StoreWentBack(f"{self._key.path}: is as before but cannot be replaced")
        self._revision, self._unsettled = held.mod_revision, None
        return session.nonce == pending.nonce

    def _compare(self) -> Compare:
        return ModRevisionIs(self._key.path, self._revision)

    def _put(self, nonce: str) -> Put:
        return Put(self._key.path, encode(Session(self._machine_id, nonce)))

    def _session(self, held: KeyValue | None) -> Session | None:
        value = decode(self._key, held.value) if held else None
        return value if isinstance(value, Session) else None

    def _check_machine(self, held: KeyValue) -> None:
        session = self._session(held)
        if session is None or session.machine_id != self._machine_id:
            owner = f"machine {session.machine_id}" if session else "something unreadable"
            raise NotTheWriter(
                f"{self._key.path}: held by {owner}, this is {self._machine_id}; "
                f"if that machine is gone for good, start with --takeover"
            )

    def _check_history(self, held: KeyValue | None) -> None:
        revision = held.mod_revision if held else 0
        if revision < self._revision:
            raise StoreWentBack(
                f"{self._key.path}: at revision {revision}, was at {self._revision}; "
                "the store was wiped or restored"
            )

    def _check_still_ours(self, held: KeyValue | None) -> None:
        """Raise when the session key is not as we left it."""
        self._check_history(held)
        assert held is not None, "revision 0 is below any that we hold"
        if held.mod_revision == self._revision:
            return
        self._check_machine(held)
        raise NotTheWriter(f"{self._key.path}: replaced by another process of this machine; end it")


def _nonce() -> str:
    return secrets.token_hex(8)
