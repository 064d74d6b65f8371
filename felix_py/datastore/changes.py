"""What the syncer tells a daemon: one change per key, and the state of the store as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from felix_py.datastore.identity import Cause
from felix_py.datastore.keys import Key
from felix_py.datastore.model import Invalid, Stored
from felix_py.datastore.values import Value
from felix_py.runtime.mailbox import Mailbox

CONCERN = "etcd"
"""The store's name in readiness (runtime/health.py)."""


@dataclass(frozen=True, slots=True)
class Change:
    """The newest a key holds: a value, or nothing (deleted), or nothing because it is invalid."""

    stored: Stored[Value] | None
    invalid: Invalid | None = None


@dataclass(frozen=True, slots=True)
class StoreStateKey:
    """The mailbox key under which the one StoreState is put."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """How the store stands. Daemons act on the kernel or on etcd only while `may_act`.

    in_sync: everything of the first list was put before this.
    connected: the last exchange with the store worked.
    frozen: why the store is believed to have gone back (or not to be initialised); None: it is fine.
    While frozen no changes are delivered: the daemon keeps its last state, deletes nothing and
    gives out nothing.
    """

    in_sync: bool
    connected: bool
    frozen: str | None
    revision: int
    problem: str = ""
    """Why it is not connected, as the store or the way to it said."""
    cause: Cause = Cause.NONE
    """What kind of thing `frozen` says."""

    @property
    def may_act(self) -> bool:
        """True when decisions may be taken from what was delivered."""
        return self.in_sync and self.frozen is None

    @property
    def trouble(self) -> str | None:
        """What a readiness probe should say about the store; None: nothing."""
        if self.frozen is not None:
            return f"{self.frozen}; what was known before is kept up"
        if not self.connected and (self.problem or self.in_sync):
            kept = "what was known before is kept up" if self.in_sync else "nothing was read yet"
            return f"etcd cannot be used: {self.problem or 'no answer'}; {kept}"
        return None if self.in_sync else "etcd was not read yet"


NOT_YET = StoreState(in_sync=False, connected=False, frozen=None, revision=0)

STORE_STATE = StoreStateKey()

SyncMailbox = Mailbox[Key | StoreStateKey, Change | StoreState]
"""Where a Syncer puts: Key -> Change, STORE_STATE -> StoreState."""
