"""Labs for tests: one of the default topology for the whole run, the others one at a time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab


class Labs:
    """Brings labs up when they are first asked for; besides the default one, one at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._up: dict[str, Lab] = {}
        self.printed: dict[str, str] = {}

    def get(self, topology: str) -> Lab:
        """The lab of this topology, up."""
        if topology in self._up:
            return self._up[topology]
        for other in [name for name in self._up if name != "default"]:
            self._up.pop(other).down()
        lab = Lab(self._directory)
        self._up[topology] = lab
        self.printed[topology] = lab.up(topology)
        return lab

    def down(self) -> None:
        """All of them."""
        for lab in self._up.values():
            lab.felix_lab("down", check=False)


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    """The labs of this run."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Labs(tmp_path_factory.mktemp("labs"))
    yield made
    made.down()


@pytest.fixture(scope="session")
def default_lab(labs: Labs) -> Lab:
    """The default topology; a test that breaks something heals it."""
    return labs.get("default")


def host_state() -> dict[str, str]:
    """What the host's own network stack holds, as its tools print it."""
    commands = {
        "links": ["ip", "-o", "link"],
        "addresses": ["ip", "-o", "address"],
        "routes": ["ip", "route", "show", "table", "all"],
        "rules": ["ip", "rule"],
        "firewall": ["nft", "list", "ruleset"],
        "mounts": ["sh", "-c", "cut -d' ' -f2,3 /proc/self/mounts | grep -v '^/run/netns'"],
    }
    return {
        name: subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for name, command in commands.items()
    }
