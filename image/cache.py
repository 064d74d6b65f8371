"""Where what was fetched and compiled is kept between builds: outside of the checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MOST = 12
"""Directories of one kind that are kept; those used longest ago go first."""


def directory() -> Path:
    """The builder's own, below XDG_CACHE_HOME (else ~/.cache)."""
    above = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = above / "felix-py" / "image"
    found.mkdir(parents=True, exist_ok=True)
    return found


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The directory of this name (kind-hash), made once: whole or not at all, whenever its making ends."""
    wanted = directory() / name
    if not wanted.is_dir():
        made = Path(tempfile.mkdtemp(prefix="making-", dir=directory()))
        try:
            make(made)
            made.rename(wanted)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    os.utime(wanted)
    _forget(wanted.name.partition("-")[0])
    return wanted


def _forget(kind: str) -> None:
    known = sorted(directory().glob(f"{kind}-*"), key=lambda place: place.stat().st_mtime)
    for place in known[:-MOST]:
        shutil.rmtree(place)


@contextmanager
def alone() -> Iterator[None]:
    """One builder at a time, over all processes of this user; what an ended one left half made is removed."""
    with (directory() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in directory().glob("making-*"):
            shutil.rmtree(left)
        yield
