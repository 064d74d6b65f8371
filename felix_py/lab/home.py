"""Where a lab keeps its files, and what its namespaces are called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from felix_py.lab.errors import LabError

DEFAULT_NAME = "felab"
LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,9}")
"""No hyphen: `x-` in front of a namespace says that it is the lab x's, and no other's."""
DEFAULT_ROOT = Path("/run/felix-lab")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  a tmpfs on every Debian, not a temporary file
LEAST_MEMORY_BYTES = 512 * 2**20
OVERLAID = ("/etc", "/opt", "/var/lib", "/var/log")
"""What a machine has of its own on top of the host's, so a lab cannot lie below one of them."""


@dataclass(frozen=True, slots=True)
class Home:
    """A lab's directory. `name` is the prefix of its namespaces: labs of other names do not meet.

    disks lie in memory where the host has room there: etcd answers twice as fast, and a machine's
    overlays work even where the directory itself is on an overlay (in a container).
    """

    name: str
    directory: Path

    @property
    def topology_file(self) -> Path:
        """The topology that is up; its presence says that there is a lab."""
        return self.directory / "topology.json"

    @property
    def pods(self) -> Path:
        """A JSON file per pod."""
        return self.directory / "pods"

    @property
    def faults(self) -> Path:
        """A JSON file per fault that `heal` takes back."""
        return self.directory / "faults"

    @property
    def disks(self) -> Path:
        """The machines' own files. Once they lie in memory they stay there, however full it gets."""
        in_memory = SHARED_MEMORY / f"felix-lab-{self.name}"
        if in_memory.exists():
            return in_memory
        if filesystem(self.directory) == "tmpfs" or not _shared_memory_has_room():
            return self.directory / "disks"
        return in_memory

    def disk(self, machine: str) -> Path:
        """One machine's own files."""
        return self.disks / machine

    def run_dir(self, machine: str) -> Path:
        """What the machine sees as /run."""
        return self.disk(machine) / "run"

    def keeper(self, machine: str) -> Path:
        """What the machine's keeper is told and tells."""
        return self.directory / "machines" / machine

    def log(self, machine: str, program: str) -> Path:
        """Where a program's output goes."""
        return self.directory / "logs" / machine / f"{program}.log"

    def netns(self, machine: str) -> str:
        """The network namespace of a machine or pod, as `ip netns` names it."""
        return f"{self.name}-{machine}"

    def make(self) -> None:
        """Create the directories. Raises LabError when the place cannot serve."""
        for above in OVERLAID:
            if self.directory.resolve().is_relative_to(above):
                raise LabError(f"{self.directory}: a lab cannot lie below {above}; use --lab-dir")
        for directory in (self.directory, self.pods, self.faults, self.directory / "logs"):
            directory.mkdir(parents=True, exist_ok=True)
        self.disks.mkdir(parents=True, exist_ok=True)
        if filesystem(self.disks) == "overlayfs":
            raise LabError(
                f"{self.disks}: is on an overlay, on which machines cannot have files of their "
                "own; give --lab-dir a directory on a tmpfs or a disk"
            )

    def remove(self) -> None:
        """Delete everything; absent is fine."""
        shutil.rmtree(self.disks, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def filesystem(path: Path) -> str:
    """The type of the file system that a path is (or would be created) on."""
    while not path.exists():
        path = path.parent
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _shared_memory_has_room() -> bool:
    if filesystem(SHARED_MEMORY) != "tmpfs":
        return False
    found = os.statvfs(SHARED_MEMORY)
    return found.f_bavail * found.f_frsize >= LEAST_MEMORY_BYTES
