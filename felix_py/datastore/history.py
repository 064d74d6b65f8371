"""What a daemon has seen of the store, kept in the run directory over restarts.

<runDir>/history/<daemon>.json: {"clusterGUID", "highest", "nonces", "doubt", "witness"}. No fsync:
after a reboot the kernel holds nothing of ours either, so there is nothing that an old store could
make us delete.

Once a store went back it stays in doubt, over restarts too: others may go on writing into it, and its
revision grows past the highest that was seen. What tells it from the store that we know is the
witness, the newest value that was seen, unless the store that went back has it, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import msgspec
import structlog
from msgspec.structs import replace

from felix_py.datastore.errors import StoreWentBack
from felix_py.datastore.store import KeyValue

WRITE_INTERVAL_SECONDS = 1.0
"""Revisions rise all the time; at most one write in this time. A crash forgets the rest."""
MAX_NONCES = 100
"""Accept keys remembered; the oldest is forgotten then. Operators write one per lost store."""

log = structlog.get_logger(__name__)


class Witness(msgspec.Struct, frozen=True):
    """The newest value seen: its key, its mod_revision and a digest of it."""

    key: str
    revision: int
    digest: str

    def is_shown_by(self, held: KeyValue | None) -> bool:
        """Whether this is the very value that was seen."""
        return (
            held is not None
            and held.mod_revision == self.revision
            and _digest(held.value) == self.digest
        )


class _Kept(msgspec.Struct, frozen=True):
    cluster_guid: str = msgspec.field(default="", name="clusterGUID")
    highest: int = 0
    nonces: tuple[str, ...] = ()
    doubt: str = ""
    witness: Witness | None = None


class History:
    """The cluster's GUID and the highest revision seen, by one thread."""

    def __init__(self, run_dir: str, daemon: str) -> None:
        self.daemon = daemon
        self._path = Path(run_dir) / "history" / f"{daemon}.json"
        self._kept = self._read()
        self._written_at = float("-inf")
        self._dirty = False

    @property
    def guid(self) -> str:
        """The cluster's GUID; empty before the first `observe`."""
        return self._kept.cluster_guid

    @property
    def highest(self) -> int:
        """The highest revision seen; 0 before the first `observe`."""
        return self._kept.highest

    @property
    def doubt(self) -> str:
        """Why the store was once seen to have gone back; empty: it was not, or that is settled."""
        return self._kept.doubt

    @property
    def witness(self) -> Witness | None:
        """The newest value seen; None before the first."""
        return self._kept.witness

    def knows_nonce(self, nonce: str) -> bool:
        """True for the nonce of an accept key seen before; it is never obeyed again."""
        return nonce in self._kept.nonces

    @property
    def last_nonce(self) -> str:
        """Of the accept key that was seen last; empty: none was."""
        return self._kept.nonces[-1] if self._kept.nonces else ""

    def objection(self, guid: str, revision: int) -> str | None:
        """Why a store of this GUID at this revision cannot be the one we know; None: it can."""
        kept = self._kept
        if kept.cluster_guid and guid != kept.cluster_guid:
            return f"the store is of cluster {guid}, this node belongs to {kept.cluster_guid}"
        if revision < kept.highest:
            return (
                f"the store went back: it is at revision {revision}, {kept.highest} was seen; "
                "it was wiped or restored"
            )
        return None

    def observe(self, guid: str, revision: int) -> None:
        """Remember this revision. Raises StoreWentBack when it cannot be the store we know."""
        objection = self.objection(guid, revision)
        if objection is not None:
            raise StoreWentBack(objection)
        if (guid, revision) == (self._kept.cluster_guid, self._kept.highest):
            return
        urgent = guid != self._kept.cluster_guid
        self._kept = replace(self._kept, cluster_guid=guid, highest=revision)
        self._write(urgent=urgent)

    def saw(self, held: KeyValue) -> None:
        """Remember a value, if none that is newer was seen."""
        known = self._kept.witness
        if known is None or held.mod_revision > known.revision:
            witness = Witness(held.key, held.mod_revision, _digest(held.value))
            self._kept = replace(self._kept, witness=witness)
            self._write(urgent=False)

    def note_doubt(self, reason: str, *, shows_witness: bool) -> None:
        """The store went back; the first reason is kept.

        A witness that this store shows all the same is from before the point it went back to: it cannot
        tell it from the right one when it has grown, and is forgotten.
        """
        if not self._kept.doubt:
            witness = None if shows_witness else self._kept.witness
            self._kept = replace(self._kept, doubt=reason, witness=witness)
            self._write(urgent=True)

    def settle_doubt(self) -> None:
        """The store was shown to be the one we know."""
        self._kept = replace(self._kept, doubt="")
        self._write(urgent=True)

    def accept(self, guid: str, revision: int, nonce: str = "") -> None:
        """Go on with this store, whatever was seen before; an operator said so."""
        self._kept = _Kept(guid, revision, self._with(nonce))  # no doubt, no witness any more
        self._write(urgent=True)

    def saw_nonce(self, nonce: str) -> None:
        """Remember an accept key that was there while the store was fine; empty: there is none."""
        if nonce and nonce not in self._kept.nonces:
            self._kept = replace(self._kept, nonces=self._with(nonce))
            self._write(urgent=True)

    def flush(self) -> None:
        """Write what was held back."""
        if self._dirty:
            self._write(urgent=True)

    def _with(self, nonce: str) -> tuple[str, ...]:
        known = tuple(each for each in self._kept.nonces if each != nonce)
        return (*known, *((nonce,) if nonce else ()))[-MAX_NONCES:]

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except msgspec.MsgspecError as error:
            log.warning(
                "history cannot be read, starting anew", path=str(self._path), error=str(error)
            )
            return _Kept()

    def _write(self, *, urgent: bool) -> None:
        now = time.monotonic()
        self._dirty = True
        if not urgent and now - self._written_at < WRITE_INTERVAL_SECONDS:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(msgspec.to_builtins(self._kept)), "utf-8")
        fresh.replace(self._path)
        self._written_at, self._dirty = now, False


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:32]
