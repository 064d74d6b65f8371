"""A machine's first process: keeps its programs running, as systemd would with Restart=always.

Standard library only, run as `python -I -S keeper.py DIRECTORY`. It reads, at start and on SIGHUP,
  DIRECTORY/wanted/<program>   JSON {"argv", "env", "log"}: run this
  DIRECTORY/held/<program>     do not start it (again) while this file is there
and writes DIRECTORY/pids/<program> (the process id) and DIRECTORY/keeper.pid. A program that ends is
started again after a delay that doubles from FIRST to LONGEST; one that ran for STEADY starts over.
SIGTERM ends everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 5.0
STEADY_SECONDS = 10.0
END_SECONDS = 3.0
"""How long a program may take to end on SIGTERM before its whole group is killed."""
LOG_BYTES = 50 * 2**20
"""A log longer than this is put aside (one old one is kept) when its program is started."""
IDLE_SECONDS = 60.0


class Program:
    """One program: what it should be, and its process if there is one."""

    def __init__(self, name: str, text: str, pid_file: Path) -> None:
        self.name = name
        self.text = text
        self.pid_file = pid_file
        self.process: subprocess.Popen[bytes] | None = None
        self.due_at = 0.0
        self.delay = FIRST_SECONDS
        self.started_at = 0.0

    def start(self) -> None:
        """Start it, its output at the end of its log."""
        wanted = json.loads(self.text)
        log = Path(wanted["log"])
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".old"))
        self.started_at = time.monotonic()
        with log.open("ab") as output:
            try:
                self.process = subprocess.Popen(
                    wanted["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=wanted["env"],
                    cwd="/",
                    start_new_session=True,
                    preexec_fn=_hear_everything,  # noqa: PLW1509  this process has one thread
                )
            except OSError as error:
                output.write(f"{wanted['argv'][0]}: {error}\n".encode())
                self.ended()
                return
        fresh = self.pid_file.with_suffix(".new")
        fresh.write_text(str(self.process.pid))
        fresh.replace(self.pid_file)

    def ended(self) -> None:
        """Note that it ended, and when it is due again."""
        now = time.monotonic()
        if now - self.started_at >= STEADY_SECONDS:
            self.delay = FIRST_SECONDS
        self.due_at = now + self.delay
        self.delay = min(LONGEST_SECONDS, self.delay * 2)
        self.process = None
        self.pid_file.unlink(missing_ok=True)

    def end(self, deadline: float) -> None:
        """End it and whatever it left in its group."""
        if self.process is None:
            return
        _signal_group(self.process.pid, signal.SIGTERM, alone=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        _signal_group(self.process.pid, signal.SIGKILL, alone=False)
        self.process.wait()
        self.process = None
        self.pid_file.unlink(missing_ok=True)


class Keeper:
    """All programs of a machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs: dict[str, Program] = {}
        for name in ("wanted", "held", "pids"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def read_wishes(self) -> None:
        """End what is wanted no more or otherwise, remember what is new."""
        wanted = _wishes(self.directory / "wanted")
        for name, program in list(self.programs.items()):
            if wanted.get(name) != program.text:
                program.end(time.monotonic() + END_SECONDS)
                del self.programs[name]
        for name, text in wanted.items():
            if name not in self.programs:
                self.programs[name] = Program(name, text, self.directory / "pids" / name)

    def step(self) -> float:
        """Notice what ended, start what is due; the seconds until something is due again."""
        wait = IDLE_SECONDS
        now = time.monotonic()
        for name, program in self.programs.items():
            if program.process is not None and program.process.poll() is not None:
                program.ended()
            if program.process is not None or (self.directory / "held" / name).exists():
                continue
            if program.due_at <= now:
                program.start()
            if program.process is None:
                wait = min(wait, max(0.01, program.due_at - now))
        return wait

    def end(self) -> None:
        """End everything, all at once."""
        for program in self.programs.values():
            if program.process is not None:
                _signal_group(program.process.pid, signal.SIGTERM, alone=True)
        deadline = time.monotonic() + END_SECONDS
        for program in self.programs.values():
            program.end(deadline)


def _wishes(directory: Path) -> dict[str, str]:
    """What each program should be; one that is taken away while we look is wanted no more."""
    wanted = {}
    for file in sorted(directory.iterdir()):
        if not file.name.startswith("."):
            with contextlib.suppress(FileNotFoundError):
                wanted[file.name] = file.read_text()
    return wanted


def _signal_group(pid: int, number: signal.Signals, *, alone: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if alone:
            os.kill(pid, number)
        else:
            os.killpg(pid, number)


def _hear_everything() -> None:
    """A blocked signal stays blocked over exec: give programs the usual mask."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def main() -> int:
    """Keep the programs of the directory named on the command line; the exit status."""
    keeper = Keeper(Path(sys.argv[1]))
    listened = {signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, listened)
    keeper.read_wishes()
    (keeper.directory / "keeper.pid").write_text(str(os.getpid()))
    while True:
        heard = signal.sigtimedwait(listened, keeper.step())
        if heard is not None and heard.si_signo == signal.SIGTERM:
            keeper.end()
            return 0
        if heard is not None and heard.si_signo == signal.SIGHUP:
            keeper.read_wishes()


if __name__ == "__main__":
    raise SystemExit(main())
