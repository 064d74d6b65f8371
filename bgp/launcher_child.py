"""One ExaBGP process: its environment, its start as another user, its end, and the orphan of a past one.

Standard library alone: part of the launcher.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bgp.privileges import User, become, die_with_parent

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH")
ORPHAN_SECONDS = 5.0
"""How long a killed orphan may take to vanish; after that we start all the same."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where ExaBGP listens; no address: it does not."""

    addresses: tuple[str, ...] = ()
    port: int = 179


def environment(listen: Listen) -> dict[str, str]:
    """ExaBGP's settings, each for a measured reason.

    terminate: a broken pipe ends the daemon, instead of leaving it without peers for good.
    tcp.bind empty: it does not listen. compact: a third fewer bytes to the agent.
    show-routes-format and chunk: what the agent reads back after its restart.
    """
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "exabgp_daemon_daemonize": "false",
        "exabgp_tcp_bind": " ".join(listen.addresses),
        "exabgp_tcp_port": str(listen.port),
        "exabgp_api_cli": "false",
        "exabgp_api_ack": "true",
        "exabgp_api_chunk": "100",
        "exabgp_api_compact": "true",
        "exabgp_api_respawn": "true",
        "exabgp_api_terminate": "true",
        "exabgp_api_show-routes-format": "v2",
        "exabgp_log_destination": "stdout",
        "exabgp_log_level": "WARNING",
        "exabgp_log_short": "false",
    }


class Child:
    """A running ExaBGP."""

    def __init__(self, process: subprocess.Popen[bytes], pid_file: Path) -> None:
        self._process = process
        self._pid_file = pid_file
        self.started_at = time.monotonic()

    @classmethod
    def start(
        cls, command: Sequence[str], listen: Listen, user: User | None, pid_file: Path
    ) -> Child:
        """Start it as this user (None: as we are) and note it in the pid file. Raises OSError."""
        parent = os.getpid()

        def prepare() -> None:
            os.setsid()
            if user is not None:
                become(user)
            die_with_parent(parent)

        process = subprocess.Popen(
            command,
            env=environment(listen),
            cwd="/",
            stdin=subprocess.DEVNULL,
            preexec_fn=prepare,  # noqa: PLW1509  the launcher has one thread
        )
        child = cls(process, pid_file)
        write_pid(pid_file, process.pid)
        return child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """SIGKILL: a frozen ExaBGP heeds nothing else."""
        self._process.kill()

    def end(self, patience_seconds: float) -> None:
        """SIGTERM, after the patience SIGKILL; returns when it is gone."""
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pid_file.unlink(missing_ok=True)


def start_time(pid: int) -> str | None:
    """The kernel's start time of a process (clock ticks since boot), None when there is none.

    proc(5): the fields after the command's closing parenthesis; the 22nd of all is the start time.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _owner(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def write_pid(path: Path, pid: int) -> None:
    """`<pid> <start time>`, in place of what was there, through no link that another user made."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(f"{pid} {start_time(pid) or 0}\n")


def end_orphan(path: Path, user: User | None, say: Callable[..., None]) -> None:
    """End the ExaBGP of a launcher before us, should the kernel not have done so.

    The file lies in ExaBGP's own directory: only a process of its own user is ended.
    """
    try:
        pid_text, started = path.read_text("ascii").split()
        pid = int(pid_text)
    except (OSError, ValueError):
        return
    if (
        pid > 1
        and start_time(pid) == started
        and _owner(pid) == (user.uid if user else os.getuid())
    ):
        say("ending the exabgp of a former launcher", level="warning", pid=pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + ORPHAN_SECONDS
        while start_time(pid) == started and time.monotonic() < deadline:
            time.sleep(0.02)
    path.unlink(missing_ok=True)
