"""Files that a container runtime reads: there as a whole or not at all, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from felix_py.runtime.settings import BadSettings


def place(path: Path, content: bytes, mode: int) -> bool:
    """Put it there if it differs; whether it did. Raises BadSettings that names the path."""
    try:
        if read(path) == content and path.stat().st_mode & 0o777 == mode:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        fresh.replace(path)
    except OSError as error:
        raise BadSettings(f"{path}: cannot be written: {error.strerror}") from error
    return True


def read(path: Path) -> bytes | None:
    """The content; None when there is no such file. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def names_in(directory: Path) -> list[str]:
    """The names of the directory's files; none when it is not there."""
    try:
        return sorted(path.name for path in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
