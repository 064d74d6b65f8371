"""What every daemon's status begins with, and how it names objects that count as absent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from felix_py.datastore.changes import StoreState
from felix_py.runtime.version import VERSION

MAX_NAMED = 50
"""Troubles of one kind that are named; counts are always complete."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while a process runs. started_at: RFC 3339, UTC."""

    daemon: str
    node: str
    pid: int
    version: str
    started_at: str

    @classmethod
    def of_this_process(cls, daemon: str, node: str, now: datetime) -> Self:
        """This process, started now."""
        return cls(daemon, node, os.getpid(), VERSION, f"{now:%Y-%m-%dT%H:%M:%SZ}")


def head(identity: Identity, store: StoreState) -> dict[str, object]:
    """Who speaks, and how the store stands for him."""
    return {
        "daemon": identity.daemon,
        "node": identity.node,
        "pid": identity.pid,
        "version": identity.version,
        "startedAt": identity.started_at,
        "store": {
            "inSync": store.in_sync,
            "connected": store.connected,
            "frozen": store.frozen,
            "revision": store.revision,
        },
    }


def invalid_objects(reasons: Mapping[str, str]) -> list[dict[str, str]]:
    """Keys in etcd that count as absent, each with its reason."""
    return [{"key": path, "reason": reason} for path, reason in sorted(reasons.items())[:MAX_NAMED]]
