"""Network namespaces and the programs that make them: everything here acts inside names of the lab's."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from felix_py.lab.errors import LabError

MOUNTED = Path("/run/netns")
COMMAND_SECONDS = 60.0
"""A command that takes longer is given up: LabError."""
KILL_SECONDS = 5.0
"""How long killed processes may take to disappear."""


def run(argv: Sequence[str], *, stdin: str = "", timeout_seconds: float = COMMAND_SECONDS) -> str:
    """What a command wrote to its output. Raises LabError with the command and its complaint."""
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]}: not installed; run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end after {timeout_seconds} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
    return done.stdout


def path(netns: str) -> str:
    """The file that stands for a namespace."""
    return str(MOUNTED / netns)


def exists(netns: str) -> bool:
    """Whether there is such a namespace."""
    return (MOUNTED / netns).exists()


def create(netns: str) -> None:
    """Make an empty namespace with its loopback up."""
    run(["ip", "netns", "add", netns])
    run(["ip", "-n", netns, "link", "set", "lo", "up"])


def delete(netns: str) -> None:
    """Kill what runs in it and remove it; absent is fine."""
    if not exists(netns):
        return
    kill(processes([netns]).get(netns, []))
    run(["ip", "netns", "delete", netns])


def batch(netns: str, commands: Iterable[str]) -> None:
    """Several `ip` commands in a namespace, in order; the first that fails raises LabError."""
    run(["ip", "-n", netns, "-batch", "-"], stdin="\n".join(commands) + "\n")


def sysctl(netns: str, settings: Iterable[str]) -> None:
    """Set `name=value` pairs of the network's sysctls in a namespace."""
    run(["nsenter", f"--net={path(netns)}", "sysctl", "-q", "-w", *settings])


def starting_with(prefix: str) -> list[str]:
    """The namespaces whose names begin so."""
    if not MOUNTED.is_dir():
        return []
    return sorted(entry.name for entry in MOUNTED.iterdir() if entry.name.startswith(prefix))


def processes(names: Iterable[str]) -> dict[str, list[int]]:
    """The processes in each of these namespaces, by the kernel's own word."""
    inodes = {}
    for name in names:
        try:
            inodes[(MOUNTED / name).stat().st_ino] = name
        except OSError:
            continue
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inode = (entry / "ns" / "net").stat().st_ino
        except OSError:
            continue
        if inode in inodes:
            found.setdefault(inodes[inode], []).append(int(entry.name))
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL these processes and wait, at most KILL_SECONDS, until they are gone."""
    left = {pid for pid in pids if pid != os.getpid()}
    for pid in left:
        signal_quietly(pid, signal.SIGKILL)
    deadline = time.monotonic() + KILL_SECONDS
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if alive(pid)}
        time.sleep(0.01)


def signal_quietly(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
