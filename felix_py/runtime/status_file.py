"""A daemon's status as a JSON file in the run directory: readable with etcd away, written atomically."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

MODE = 0o640
_claims: dict[Path, IO[bytes]] = {}
"""The locks that this process holds, for its length."""


def status_path(run_dir: str, daemon: str) -> Path:
    """Where the status of a daemon lies: <runDir>/status/<daemon>.json."""
    return Path(run_dir) / "status" / f"{daemon}.json"


def write(run_dir: str, daemon: str, status: Mapping[str, Any]) -> None:
    """Replace the file at once; a reader sees the old or the new, never half."""
    path = status_path(run_dir, daemon)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(status, handle, sort_keys=True, indent=1)
    fresh.replace(path)
    _claim(run_dir, daemon)


def runs(run_dir: str, daemon: str) -> bool:
    """Whether a process lives that wrote this daemon's status."""
    try:
        with _alive_path(run_dir, daemon).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _claim(run_dir: str, daemon: str) -> None:
    """Hold a lock until the process ends: a process id says nothing to who is in another container.

    One who looks holds it for a moment, too; the next write tries again.
    """
    path = _alive_path(run_dir, daemon)
    if path in _claims:
        return
    handle = path.open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
    else:
        _claims[path] = handle


def _alive_path(run_dir: str, daemon: str) -> Path:
    return status_path(run_dir, daemon).with_suffix(".alive")


def read(run_dir: str, daemon: str) -> dict[str, Any] | None:
    """The status last written, None when there is none or it is not JSON."""
    try:
        loaded = json.loads(status_path(run_dir, daemon).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None


def read_running(run_dir: str, daemon: str) -> dict[str, Any] | None:
    """The same, but None too when the process that wrote it lives no more."""
    return read(run_dir, daemon) if runs(run_dir, daemon) else None
