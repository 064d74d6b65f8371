"""Asking the launcher: which ExaBGP runs, and to kill one that is frozen."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

from felix_py.runtime.errors import TransientError

REQUEST_SECONDS = 2.0


class LauncherAway(TransientError):
    """The launcher does not answer; its unit restarts it."""


@dataclass(frozen=True, slots=True)
class LauncherStatus:
    """pid: of the ExaBGP that runs, None: none does. restarts: since the launcher started."""

    pid: int | None
    running_seconds: float
    restarts: int


class LauncherClient:
    """One connection per question to `<runDir>/bgp/launcher.sock`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def status(self) -> LauncherStatus:
        """What the launcher says. Raises LauncherAway."""
        text = self._ask("status")
        try:
            said = json.loads(text)
            running = float(said["running_seconds"] or 0.0)
            return LauncherStatus(said["pid"], running, int(said["restarts"]))
        except (ValueError, KeyError, TypeError) as error:
            raise LauncherAway(f"{self._path}: answer {text[:80]!r} is not understood") from error

    def kill(self, pid: int) -> bool:
        """SIGKILL for its child; False: that is not the one that runs. Raises LauncherAway."""
        return self._ask(f"kill {pid}") == "done"

    def _ask(self, question: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(REQUEST_SECONDS)
                connection.connect(self._path)
                connection.sendall(question.encode() + b"\n")
                return connection.makefile("r").readline().strip()
        except OSError as error:
            raise LauncherAway(f"{self._path}: {error.strerror or error}") from error
