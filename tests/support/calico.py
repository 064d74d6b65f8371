"""Calico's own programs on an etcd, built by Go from its module: calicoctl, and nodes that are IPAM alone.

Version 3.31.0: of 3.32 no module is to be had. Their stores differ in the names of policies alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from felix_py.lab import golang

SOURCES = Path(__file__).resolve().parents[1] / "calico"
MODULE_FILES = ("go.mod", "go.sum", "main.go")
CALICOCTL = "github.com/projectcalico/calico/calicoctl/calicoctl"
VERSION = f"-X {CALICOCTL}/commands.VERSION=v3.31.0"


def programs() -> Path:
    """The directory that holds `calicoctl` and `calico-ipam`; built once, in about two minutes."""
    inputs = [SOURCES / name for name in MODULE_FILES]
    return golang.built(golang.directory("calico", inputs), _build)


def _build(made: Path) -> None:
    golang.build(SOURCES, made / "calico-ipam")
    golang.build(SOURCES, made / "calicoctl", VERSION, CALICOCTL)


@dataclass(frozen=True)
class Calico:
    """Its programs, as somebody runs them who has this etcd."""

    programs: Path
    endpoint: str

    def ctl(self, *arguments: str, stdin: str = "", status: int = 0) -> str:
        """What calicoctl says. Another exit status is an assertion's failure."""
        command = [str(self.programs / "calicoctl"), "--allow-version-mismatch", *arguments]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        return said

    def json(self, *arguments: str) -> Any:
        """The same, read as JSON."""
        return json.loads(self.ctl(*arguments, "-o", "json"))

    def node(self, verb: str, name: str, *numbers: int) -> subprocess.Popen[str]:
        """A node of Calico at work (tests/calico/main.go); `heard` waits for its last word."""
        command = [str(self.programs / "calico-ipam"), verb, name, *map(str, numbers)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        )

    @property
    def _environment(self) -> Mapping[str, str]:
        return os.environ | {"DATASTORE_TYPE": "etcdv3", "ETCD_ENDPOINTS": self.endpoint}


def heard(node: subprocess.Popen[str]) -> dict[str, str]:
    """Which address each handle got, as a node of Calico said it."""
    said, complaint = node.communicate(timeout=120)
    assert node.returncode == 0, complaint
    return dict(line.split() for line in said.splitlines())


def killed(node: subprocess.Popen[str]) -> None:
    """kill -9; it must have been at work."""
    node.send_signal(signal.SIGKILL)
    node.communicate(timeout=60)
    assert node.returncode == -signal.SIGKILL, "it had ended already"
