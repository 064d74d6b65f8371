"""Small JSON files that are there completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

MODE = 0o600


def write(path: Path, value: msgspec.Struct, *, sync: bool) -> None:
    """Replace the file at once. With `sync` it outlives a power cut as soon as this returns.

    Raises OSError (a full disk): what stood there stays.
    """
    fresh = path.with_name(f".{path.name}.fresh")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        left = memoryview(msgspec.json.encode(value))
        while left:  # a disk that is nearly full takes a part and says so
            left = left[os.write(descriptor, left) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    if sync:
        _sync_directory(path.parent)


def read_all(directory: Path, kind: type[T]) -> tuple[dict[Path, T], list[Path]]:
    """Every readable file of the directory by its path, and the paths of the unreadable ones."""
    good: dict[Path, T] = {}
    bad: list[Path] = []
    for path in sorted(directory.glob("*.json")):
        try:
            good[path] = msgspec.json.decode(path.read_bytes(), type=kind)
        except (msgspec.MsgspecError, OSError):
            bad.append(path)
    return good, bad


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
