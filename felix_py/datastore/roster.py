"""Which nodes there were when the store was last trusted: a file that felix writes and the CNI server reads.

<runDir>/history/nodes, a name a line. A restored store does not know the nodes that came after its
snapshot; before those have answered, too, nobody may believe that all have. No fsync: after a reboot
nothing of ours lives here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from felix_py.datastore.model import NodeName


def write(run_dir: str, names: Iterable[NodeName]) -> None:
    """Replace the file at once. Raises OSError."""
    path = _path(run_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".nodes.{os.getpid()}")
    fresh.write_text("".join(f"{name}\n" for name in sorted(names)), "utf-8")
    fresh.replace(path)


def read(run_dir: str) -> frozenset[NodeName] | None:
    """None: nothing is remembered."""
    try:
        text = _path(run_dir).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return frozenset(NodeName(line) for line in text.splitlines() if line) or None


def _path(run_dir: str) -> Path:
    return Path(run_dir) / "history" / "nodes"
