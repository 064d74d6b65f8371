"""A lab of its own name for a benchmark: up, and down whatever happens."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FELIX_LAB = Path(sys.executable).with_name("felix-lab")
ROOT = Path("/run/felix-lab")
MOST_SECONDS = 300.0


@dataclass(slots=True)
class Lab:
    """`up_seconds` includes the proof that everybody reaches everybody."""

    name: str
    up_seconds: float = 0.0
    down_seconds: float = 0.0

    def processes(self) -> dict[str, dict[str, int]]:
        """The process id of each program, by machine."""
        found: dict[str, dict[str, int]] = {}
        for file in sorted((ROOT / self.name / "machines").glob("*/pids/*")):
            machine = found.setdefault(file.parent.parent.name, {})
            machine[file.name] = int(file.read_text("ascii"))
        return found

    def namespaces(self) -> int:
        """How many network namespaces it has."""
        return sum(1 for _ in Path("/run/netns").glob(f"{self.name}-*"))


@contextmanager
def lab(topology: str = "default") -> Iterator[Lab]:
    """Bring one up; it is down, and its time known, when the block has ended."""
    made = Lab(f"bm{secrets.token_hex(3)}")
    try:
        made.up_seconds = _timed(made.name, "up", topology)
        yield made
    finally:
        made.down_seconds = _timed(made.name, "down")


def _timed(name: str, *arguments: str) -> float:
    started_at = time.monotonic()
    subprocess.run(
        [str(FELIX_LAB), "--name", name, *arguments],
        check=True,
        timeout=MOST_SECONDS,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - started_at
