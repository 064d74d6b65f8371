"""A lab under test: built and broken by the command felix-lab, looked at with other tools.

What is only looked at goes through the functions behind the command: a test looks hundreds of
times, and each start of the command would cost it half a second.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from felix_py.lab import commands_inside, inventory
from felix_py.lab.home import Home

COMMAND_SECONDS = 180


class Lab:
    """One lab under a name of its own; several can stand side by side."""

    def __init__(self, directory: Path, name: str = "") -> None:
        self.name = name or f"t{secrets.token_hex(3)}"
        self.directory = directory / self.name

    def felix_lab(
        self, *arguments: str, check: bool = True, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """The command, its output captured; a failure shows both outputs."""
        done = subprocess.run(
            [*self._command, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = f"felix-lab {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not check or done.returncode == 0, said
        return done

    @property
    def _command(self) -> list[str]:
        command = str(Path(sys.executable).with_name("felix-lab"))
        return [command, "--name", self.name, "--lab-dir", str(self.directory)]

    @property
    def home(self) -> Home:
        """Its directory, for the lab's own functions."""
        return Home(self.name, self.directory)

    def inside(self, where: str) -> list[str]:
        """A command's beginning that makes the rest run inside a node, ToR, pod or etcd."""
        return commands_inside.inside(self.home, where, [])

    def up(self, topology: str) -> str:
        """Bring it up; what it printed."""
        return self.felix_lab("up", topology).stdout

    def down(self) -> None:
        """Take it down."""
        self.felix_lab("down")

    def status(self) -> dict[str, Any]:
        """The document that `status -o json` prints."""
        return inventory.document(self.home, inventory.topology_that_is_up(self.home))

    def exec(self, where: str, *command: str) -> str:
        """What a command wrote inside a node, ToR, pod or etcd."""
        done = subprocess.run(
            [*self.inside(where), *command],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        said = f"{where}: {' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout

    def pods(self, node: str | None = None) -> list[dict[str, Any]]:
        """The pods (of one node), as status names them."""
        return [pod for pod in self.status()["pods"] if node in (None, pod["node"])]

    def pids(self, node: str, kind: str) -> list[int]:
        """The processes of a kind on a node."""
        return [
            each["pid"]
            for each in self.status()["processes"]
            if (each["node"], each["kind"]) == (node, kind)
        ]

    def etcd(self, prefix: str) -> dict[str, Any]:
        """Keys below a prefix with their JSON values, read by etcdctl."""
        lines = self.exec("etcd", "etcdctl", "get", "--prefix", prefix).splitlines()
        filled = [line for line in lines if line]
        return {key: json.loads(filled[n + 1]) for n, key in enumerate(filled[:-1]) if n % 2 == 0}


def in_netns(netns: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command inside a network namespace by its name."""
    return subprocess.run(
        ["nsenter", f"--net=/run/netns/{netns}", "--", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )


def eventually(what: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
