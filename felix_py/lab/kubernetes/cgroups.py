"""Each kubelet's root in the host's control groups: made before it starts, found again by its name.

`/<lab>-<machine>` in every hierarchy (version 1 has one per controller, version 2 one in all). What
runs in a container of the machine runs below it, in whatever namespaces, so this is also how a lab ends
pods whose runtime is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from felix_py.lab import namespaces
from felix_py.lab.errors import LabError

MOUNTED = Path("/sys/fs/cgroup")
UNIFIED_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")
INHERITED = ("cpuset.cpus", "cpuset.mems")
"""A new group of version 1 has none of these, and no process can enter it before it has."""
REMOVE_SECONDS = 10.0


def hierarchies() -> list[Path]:
    """The top of every hierarchy of this host."""
    if (MOUNTED / "cgroup.controllers").exists():
        return [MOUNTED]
    if not MOUNTED.is_dir():
        return []
    return sorted(top for top in MOUNTED.iterdir() if (top / "cgroup.procs").exists())


def make(name: str) -> None:
    """Make the root in every hierarchy; one that exists is fine."""
    for top in hierarchies():
        group = top / name
        group.mkdir(exist_ok=True)
        if (top / "cgroup.controllers").exists():
            _delegate(top)
            _delegate(group)
        for setting in INHERITED:
            if (top / "cgroup.clone_children").exists() and (top / setting).exists():
                (group / setting).write_text((top / setting).read_text())


def processes(prefix: str) -> list[int]:
    """Every process in a group whose name begins so, or below one."""
    found: set[int] = set()
    for group in groups(prefix):
        with suppress(OSError):
            found |= {int(line) for line in (group / "cgroup.procs").read_text().split()}
    return sorted(found)


def groups(prefix: str) -> Iterator[Path]:
    """Every group whose name begins so, and those below: children before their parents."""
    for top in hierarchies():
        for group in sorted(top.glob(f"{prefix}*/")):
            below = [path for path in group.rglob("*/") if path.is_dir()]
            yield from sorted(below, key=lambda path: len(path.parts), reverse=True)
            yield group


def remove(prefix: str) -> None:
    """Kill what runs there and remove the groups; absent is fine. Raises LabError when one stays."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        namespaces.kill(processes(prefix))
        for group in list(groups(prefix)):
            with suppress(OSError):
                group.rmdir()
        left = list(groups(prefix))
        if not left:
            return
        if time.monotonic() > deadline:
            raise LabError(f"{left[0]}: cannot be removed; processes: {processes(prefix)}")
        time.sleep(0.05)


def _delegate(group: Path) -> None:
    """Let groups below have the controllers that this one has."""
    for controller in (group / "cgroup.controllers").read_text().split():
        if controller in UNIFIED_CONTROLLERS:
            with suppress(OSError):  # a hybrid host keeps its controllers in version 1
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
