"""Frozen values of our own keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """Our own key: who may write for a node (datastore/fence.py)."""

    machine_id: str
    nonce: str


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """Our own key: what a daemon last said of itself, as a JSON object."""

    document: Mapping[str, object]
