"""The cluster as kubectl sees it, run on the control plane's machine as its administrator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import place
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

POLL_SECONDS = 0.5


class Kubectl:
    """The command for one lab."""

    def __init__(self, home: Home, topology: Topology) -> None:
        self._machine = Machine(home, place.spec(topology).control_plane)
        self._command = [f"{place.BINARIES}/kubectl", "--kubeconfig", str(place.admin_config(home))]

    def argv(self, *arguments: str) -> list[str]:
        """A whole command line for a caller who starts it."""
        return self._machine.command([*self._command, *arguments])

    def run(self, *arguments: str, stdin: str = "", timeout_seconds: float = 120.0) -> str:
        """What it wrote. Raises LabError with what it complained of."""
        command = [*self._command, *arguments]
        return self._machine.run(command, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, text: str) -> str:
        """Apply a manifest."""
        return self.run("apply", "-f", "-", stdin=text)

    def get(self, *what: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        found: list[dict[str, Any]] = json.loads(self.run("get", *what, "-o", "json"))["items"]
        return found

    def wait(self, what: str, holds: Callable[[], str | None], seconds: float) -> None:
        """Wait until `holds` says nothing; it says what is missing. Raises LabError with its last word."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                missing = holds()
            except LabError as error:
                missing = str(error)
            if missing is None:
                return
            if time.monotonic() > deadline:
                raise LabError(f"{what}: not after {seconds:.0f} s: {missing}")
            time.sleep(POLL_SECONDS)


def ready(thing: dict[str, Any]) -> bool:
    """Whether a Node or Pod says that it is Ready."""
    conditions = thing.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
