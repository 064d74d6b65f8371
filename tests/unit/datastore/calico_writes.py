"""Every value that Calico's own library wrote while it was recorded (tests/golden/calico)."""

from __future__ import annotations

import re
from pathlib import Path

_RECORDING = Path(__file__).parents[2] / "golden" / "calico" / "writes-v3.32.1.txt"
_WRITE = re.compile(r"^\[(\d+)\] (?:CREATE|UPDATE) (\S+)\n {6}(\{.*)$", re.MULTILINE)


def recorded_writes() -> list[tuple[str, str, bytes]]:
    """(revision, key, value) of each complete write; values cut in print are left out."""
    text = _RECORDING.read_text("utf-8")
    return [
        (revision, key, value.encode())
        for revision, key, value in _WRITE.findall(text)
        if value.endswith("}")
    ]
