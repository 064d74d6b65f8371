"""What a daemon has seen of the store, kept in the run directory over restarts.

<runDir>/history/<daemon>.json: {"clusterGUID", "highest", "nonces"}. No fsync: after a reboot
the kernel holds nothing of ours either, so there is nothing that an old store could make us delete.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import msgspec
import structlog

from felix_py.datastore.errors import StoreWentBack

WRITE_INTERVAL_SECONDS = 1.0
"""Revisions rise all the time; at most one write in this time. A crash forgets the rest."""
MAX_NONCES = 100
"""Accept keys remembered; the oldest is forgotten then. Operators write one per lost store."""

log = structlog.get_logger(__name__)


class _Kept(msgspec.Struct):
    cluster_guid: str = msgspec.field(default="", name="clusterGUID")
    highest: int = 0
    nonces: tuple[str, ...] = ()


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

    def knows_nonce(self, nonce: str) -> bool:
        """True for the nonce of an accept key seen before; it is never obeyed again."""
        return nonce in self._kept.nonces

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
        self._kept = _Kept(guid, revision, self._kept.nonces)
        self._write(urgent=urgent)

    def accept(self, guid: str, revision: int, nonce: str = "") -> None:
        """Go on with this store, whatever was seen before; an operator said so."""
        self._kept = _Kept(guid, revision, self._with(nonce))
        self._write(urgent=True)

    def saw_nonce(self, nonce: str) -> None:
        """Remember an accept key that was there while the store was fine; empty: there is none."""
        if nonce and nonce not in self._kept.nonces:
            self._kept = _Kept(self._kept.cluster_guid, self._kept.highest, self._with(nonce))
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
