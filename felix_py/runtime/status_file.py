"""A daemon's status as a JSON file in the run directory: readable with etcd away, written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODE = 0o640


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


def read(run_dir: str, daemon: str) -> dict[str, Any] | None:
    """The status last written, None when there is none or it is not JSON."""
    try:
        loaded = json.loads(status_path(run_dir, daemon).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None
