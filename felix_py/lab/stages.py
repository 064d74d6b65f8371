"""Stages of a long command: what is being done, how long each took, and where it stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from felix_py.lab.errors import LabError
from felix_py.lab.home import Home


class Stages:
    """Shows each stage while it runs and keeps its time in seconds."""

    def __init__(self, console: Console, home: Home) -> None:
        self._console = console
        self._home = home
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage; a LabError in it says afterwards which it was and where the logs are."""
        started_at = time.monotonic()
        try:
            with self._console.status(f"{name} ..."):
                yield
        except LabError as error:
            self._console.print(f"  [red]✗[/red] {name}")
            logs = self._home.directory / "logs"
            raise LabError(f"stage `{name}` failed: {error}\nlogs: {logs}") from error
        took = self.seconds[name] = time.monotonic() - started_at
        self._console.print(f"  [green]✓[/green] {name:<44}[dim]{took:5.1f} s[/dim]")
