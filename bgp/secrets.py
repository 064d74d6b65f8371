"""Session passwords from files, where there is no Kubernetes to ask for the Secret."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SAFE = re.compile(r"[A-Za-z0-9._-]{1,253}")
"""A Secret's name or key; `.` and `..` are refused apart."""
MAX_SECRET_BYTES = 1024
"""A longer file is no password and counts as missing."""


class SecretFiles:
    """Reads <directory>/<secret's name>/<key>; a trailing newline does not count."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def read(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The secrets that are there; what is missing, empty or not text is left out."""
        found: dict[tuple[str, str], str] = {}
        for name, key in wanted:
            if not (_is_safe(name) and _is_safe(key)):
                continue
            try:
                with (self._directory / name / key).open("rb") as handle:
                    raw = handle.read(MAX_SECRET_BYTES + 1)
                text = raw.decode("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError):
                continue
            if text and len(raw) <= MAX_SECRET_BYTES:
                found[name, key] = text
        return found


def _is_safe(part: str) -> bool:
    return SAFE.fullmatch(part) is not None and part not in {".", ".."}
