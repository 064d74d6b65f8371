"""What the program in the virtual machine found, for the tests outside: a file, never silence."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

FILE = "verdicts.json"


class Verdicts:
    """One entry per check, written at once: {name: {"wrong": [...]}}; and a log with times."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE
        self._found: dict[str, list[str]] = {}
        self._started = time.monotonic()
        self._write()

    def note(self, name: str, wrong: Sequence[str]) -> None:
        """A check and what is wrong; nothing: it holds. Made twice, it must hold twice."""
        self._found.setdefault(name, []).extend(wrong)
        self._write()
        self.say(f"{'ok' if not wrong else 'WRONG'}: {name} {list(wrong)[:6] if wrong else ''}")

    def say(self, text: str) -> None:
        """A line of the log."""
        print(f"{time.monotonic() - self._started:7.1f} {text}", flush=True)

    def _write(self) -> None:
        self._file.write_text(json.dumps(self._found, indent=1))


def load(directory: Path) -> dict[str, list[str]]:
    """What was found, by check; empty when the program did not get that far."""
    file = directory / FILE
    found: dict[str, list[str]] = json.loads(file.read_text()) if file.exists() else {}
    return found
