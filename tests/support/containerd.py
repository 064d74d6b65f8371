"""A real containerd with its shims and runc on a machine of a lab, and containers that `ctr` runs there.

Its root, state and socket lie in a directory of its own below the machine's /run, its containers'
cgroups below one of its own name. Leaving it ends every process and mount of it, whatever has failed:
what is found by the socket's path on a command line, or in those cgroups, is its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from felix_py.lab import oci
from felix_py.lab.oci import PROGRAM, Entry, Settings

NAMESPACE = "k8s.io"
IMAGE = "lab.invalid/busybox:1"
BUSYBOX = Path("/bin/busybox")
"""Debian's busybox-static: the image has nothing else."""
SECONDS = 60.0
"""For the daemon to answer and for a container to start or end, on a busy machine."""
CGROUPS = Path("/sys/fs/cgroup")

CONFIG = """\
version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{directory}/containerd.sock"
[ttrpc]
  address = "{directory}/containerd.sock.ttrpc"
"""

SWEEP = """
grep -o ' {directory}/[^ ]*' /proc/self/mountinfo | sort -ru | while read -r mounted; do
    umount -l "$mounted"
done
rm -rf {directory}
"""


class Containerd:
    """The daemon inside a machine; `inside` is what enters it, a command's beginning."""

    def __init__(self, inside: Sequence[str]) -> None:
        self._inside = list(inside)
        self.name = f"felix-{secrets.token_hex(4)}"
        self.directory = f"/run/{self.name}"
        self.socket = f"{self.directory}/containerd.sock"
        self._daemon: subprocess.Popen[str] | None = None
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def run(self, container_id: str) -> None:
        """Start a container of this id with what /etc/cni/net.d says; its network stands then."""
        self.start(container_id, IMAGE, ("--cni",), "/bin/busybox", "sleep", "900")

    def start(self, container_id: str, name: str, options: Sequence[str], *command: str) -> None:
        """Start a command in a container of an image, with options of `ctr run`; it runs then."""
        always = ["--rm", "--snapshotter", "native", "--cgroup", f"/{self.name}/{container_id}"]
        process = subprocess.Popen(
            self._ctr("run", *always, *options, name, container_id, *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running[container_id] = process
        deadline = time.monotonic() + SECONDS
        # `ctr run --cni` attaches the network between the task's creation and its start.
        while not self._runs(container_id):
            if process.poll() is not None or time.monotonic() > deadline:
                told = self.remove(container_id)
                raise AssertionError(f"{container_id} does not run: {told}")
            time.sleep(0.2)

    def exec(self, container_id: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of busybox inside a container."""
        return self.exec_program(container_id, "/bin/busybox", *command)

    def exec_program(self, container_id: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside a container, with the environment and rights of its first process."""
        name = f"exec-{secrets.token_hex(4)}"
        return self._call("task", "exec", "--exec-id", name, container_id, *command)

    def load(self, archive: bytes) -> None:
        """Import an image's archive, under the name that it carries."""
        done = subprocess.run(
            self._ctr("images", "import", "--snapshotter", "native", "-"),
            input=archive,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def images(self) -> set[str]:
        """The names of the images that the daemon has."""
        return set(self._call("images", "ls", "-q").stdout.split())

    def remove(self, container_id: str) -> str:
        """Kill a container; what `ctr run` said, which has detached and deleted it before it ended."""
        process = self._running.pop(container_id)
        if process.poll() is None:
            self._call("task", "kill", "-s", "SIGKILL", container_id)
        try:
            told, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            told, _ = process.communicate()
            told += f"\nended after {SECONDS} s"
        return told

    def main_processes(self, container_id: str) -> list[int]:
        """The process ids, as the host sees them, of a container."""
        lines = self._call("task", "ps", container_id).stdout.splitlines()[1:]
        return [int(line.split()[0]) for line in lines]

    def known(self) -> set[str]:
        """The ids of containers that the daemon still has."""
        return set(self._call("container", "ls", "-q").stdout.split())

    def kill_daemon(self) -> None:
        """SIGKILL it, as an out-of-memory killer does; shims and containers live on."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait(SECONDS)

    def processes(self) -> list[int]:
        """Every process of it: daemon, ctr and shims by the socket they name, and the containers'."""
        return sorted({*self._by_socket(), *self._by_cgroup()})

    def leftovers(self) -> list[str]:
        """What is left of it: processes, mounts, files, cgroups."""
        left = [f"process {pid}" for pid in self.processes()]
        left += [f"cgroup {path}" for path in self._cgroups()]
        script = f"grep {self.name} /proc/self/mountinfo; ls -d {self.directory}"
        return left + self._call_inside("sh", "-c", script).stdout.splitlines()

    def _start(self) -> None:
        config = CONFIG.format(directory=self.directory)
        script = f"mkdir -p {self.directory} && cat >{self.directory}/config.toml"
        self._call_inside("sh", "-c", script, stdin=config, check=True)
        script = f'exec "$@" >{self.directory}/log 2>&1'
        self._daemon = subprocess.Popen(
            [
                *self._inside,
                *("sh", "-c", script, "sh"),
                *("containerd", "--address", self.socket),
                *("--config", f"{self.directory}/config.toml"),
            ],
            stdin=subprocess.DEVNULL,
            text=True,
        )
        deadline = time.monotonic() + SECONDS
        while self._call("version").returncode:
            log = self._call_inside("tail", "-n", "5", f"{self.directory}/log").stdout
            assert self._daemon.poll() is None, f"containerd ended: {log}"
            assert time.monotonic() < deadline, f"containerd does not answer: {log}"
            time.sleep(0.2)
        self.load(image())

    def _end(self) -> None:
        """End everything, in the order in which an operator would, then what is left by force."""
        for container_id in list(self._running):
            self.remove(container_id)
        if self._daemon is not None:
            self._daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(SECONDS)
        deadline = time.monotonic() + SECONDS
        while (left := self.processes()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        if self._daemon is not None:
            self._daemon.wait(SECONDS)
        self._call_inside("sh", "-c", SWEEP.format(directory=self.directory))
        for path in sorted(self._cgroups(), key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()

    def _runs(self, container_id: str) -> bool:
        lines = self._call("task", "ls").stdout.splitlines()
        return any(line.split()[::2] == [container_id, "RUNNING"] for line in lines)

    def _ctr(self, *arguments: str) -> list[str]:
        return [*self._inside, "ctr", "--address", self.socket, "-n", NAMESPACE, *arguments]

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._ctr(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _call_inside(
        self, *command: str, stdin: str = "", check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._inside, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=check,
        )

    def _by_socket(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if not entry.name.isdigit():
                    continue
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if self.socket in argv:
                    found.append(int(entry.name))
        return found

    def _by_cgroup(self) -> list[int]:
        found: list[int] = []
        for path in self._cgroups():
            with contextlib.suppress(OSError):
                found += [int(line) for line in (path / "cgroup.procs").read_text().split()]
        return found

    def _cgroups(self) -> list[Path]:
        """Of every hierarchy (version 1 has one per controller) the groups of our name and below."""
        tops = [*CGROUPS.glob(self.name), *CGROUPS.glob(f"*/{self.name}")]
        return tops + [path for top in tops for path in top.rglob("*/")]


def image() -> bytes:
    """An image of one layer that holds busybox alone."""
    assert BUSYBOX.exists(), f"{BUSYBOX}: install busybox-static"
    tree = {"bin/busybox": Entry(BUSYBOX.read_bytes(), PROGRAM)}
    return oci.image(IMAGE, [tree], Settings()).archive
