"""A launcher that remembers whom it was asked to kill."""

from __future__ import annotations

from bgp.launcher_client import LauncherAway, LauncherClient, LauncherStatus


class FakeLauncher(LauncherClient):
    """Stands for <runDir>/bgp/launcher.sock; `away`: nobody answers there."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.killed: list[int] = []
        self.away = False

    def kill(self, pid: int) -> bool:
        """Remember it."""
        if self.away:
            raise LauncherAway("away")
        self.killed.append(pid)
        return True

    def status(self) -> LauncherStatus:
        """ExaBGP 77 runs for long."""
        return LauncherStatus(77, 1000.0, 0)
