"""What answers by TCP behind every pod, ToR and outside host: its command line."""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("answer.py")
PORT = 8080


def command(name: str) -> list[str]:
    """The program that answers under this name."""
    return [sys.executable, "-I", "-S", str(SCRIPT), name, str(PORT)]
