"""Golden files: text that our code writes, kept for review. `make golden` rewrites them."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

DIRECTORY = Path(__file__).parents[1] / "golden"


class Golden:
    """Compares a text with the file of that name, or replaces the file when asked to."""

    def __init__(self, *, update: bool) -> None:
        self._update = update

    def check(self, name: str, text: str) -> None:
        """Fail with the difference; `name` is relative to tests/golden."""
        file = DIRECTORY / name
        if self._update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        kept = file.read_text("utf-8") if file.exists() else ""
        difference = difflib.unified_diff(
            kept.splitlines(), text.splitlines(), f"tests/golden/{name}", "now", lineterm=""
        )
        assert kept == text, "\n".join(difference)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden files of this run."""
    return Golden(update=bool(request.config.getoption("--update-golden")))
