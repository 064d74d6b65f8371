"""Whether a store is the one that this daemon knows, or one that was accepted: says why not."""

from __future__ import annotations

from collections.abc import Mapping

from felix_py.datastore.errors import RevisionCompacted
from felix_py.datastore.history import History
from felix_py.datastore.identity import Cause, Frozen, Identity
from felix_py.datastore.store import KeyValue, Store


class Judge:
    """One thread's. Remembers in the history; reads the store only while it is in doubt."""

    def __init__(self, store: Store, history: History) -> None:
        self._store = store
        self._history = history

    def accepts(self, identity: Identity, revision: int, *, frozen: bool) -> bool:
        """An accept key we have not seen, for this very cluster, while there is an objection."""
        history = self._history
        if identity.problem is not None or not identity.nonce:
            return False
        if history.knows_nonce(identity.nonce) or identity.accepted_guid != identity.guid:
            return False
        return (
            frozen or bool(history.doubt) or history.objection(identity.guid, revision) is not None
        )

    def check(self, identity: Identity, revision: int) -> None:
        """Raises Frozen unless this is the store we know; then remembers how far it has come."""
        history = self._history
        if revision < history.highest:
            self.doubt(f"the store went back: it was at revision {revision}", revision)
        if not identity.guid:
            raise Frozen(identity.problem or "the store names no cluster", Cause.NO_CLUSTER)
        objection = history.objection(identity.guid, revision)
        if history.guid and identity.guid != history.guid:
            raise Frozen(objection or "the store is another cluster's", Cause.FOREIGN)
        objection = objection or self._standing_doubt(identity, revision)
        if objection is not None:
            known = history.witness is not None or self._lacks_accepted(identity)
            sure = known or revision < history.highest
            raise Frozen(objection, Cause.WENT_BACK if sure else Cause.UNSURE)
        if identity.problem is not None:
            raise Frozen(identity.problem, Cause.CLOSED)
        history.observe(identity.guid, revision)
        history.saw_nonce(identity.nonce)

    def disproves(self, identity: Identity, revision: int) -> bool | None:
        """Whether the store, as it is now, is not the one we know; None: that cannot be told.

        Notes nothing. What was found a second ago may have been said of another one: the right data
        may have returned, or this store may have been accepted, and the syncer is about to notice.
        """
        history = self._history
        if self.accepts(identity, revision, frozen=True) or identity.guid != history.guid:
            return False
        if revision < history.highest or self._lacks_accepted(identity):
            return True
        if history.witness is None:
            return None if history.doubt else False
        return not self._shows_witness()

    def doubt(self, reason: str, revision: int) -> None:
        """Note it, once; a witness of a revision that this store has not reached is none of its."""
        if self._history.doubt:
            return
        witness = self._history.witness
        reached = witness is not None and witness.revision <= revision
        self._history.note_doubt(reason, shows_witness=reached and self._shows_witness())

    def older_witness(self, held: Mapping[str, KeyValue]) -> str | None:
        """The key of the newest value that was seen, if it stands at a lower revision now."""
        witness = self._history.witness
        if witness is None or witness.key not in held:
            return None
        return witness.key if held[witness.key].mod_revision < witness.revision else None

    def _standing_doubt(self, identity: Identity, revision: int) -> str | None:
        """Why a store that reached our revision is not the one we know; settles a doubt that is none."""
        history = self._history
        lost = self._lacks_accepted(identity)
        if lost:
            self.doubt("the store went back: it does not hold what was accepted last", revision)
        if not history.doubt:
            return None
        if not lost and self._shows_witness():
            history.settle_doubt()
            return None
        missing = (
            "does not hold what was seen last"
            if history.witness or lost
            else "nothing was seen here that could tell it from the right one"
        )
        return f"{history.doubt}, {history.highest} was seen; it is at {revision} now but {missing}"

    def _lacks_accepted(self, identity: Identity) -> bool:
        """The accept key is never removed: an older one, or none, is a store from before it."""
        last = self._history.last_nonce
        if not last or identity.nonce == last:
            return False
        return not identity.nonce or self._history.knows_nonce(identity.nonce)

    def _shows_witness(self) -> bool:
        """Whether the newest value seen is, or was at its time, in this store; compacted: no."""
        witness = self._history.witness
        if witness is None:
            return False
        if witness.is_shown_by(self._store.get(witness.key)):
            return True
        try:
            past = self._store.list(witness.key, revision=witness.revision)
        except RevisionCompacted:
            return False
        return any(witness.is_shown_by(item) for item in past.items if item.key == witness.key)
