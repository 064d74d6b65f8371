"""A machine's keeper: what it was told to keep runs, again after it ended, and not while it is held."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from felix_py.lab.machine import KEEPER

SECONDS = 10.0


def wait_for(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Kept:
    """A keeper on a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "wanted").mkdir(parents=True)
        self.process = subprocess.Popen([sys.executable, "-I", "-S", str(KEEPER), str(directory)])
        assert wait_for((directory / "keeper.pid").exists)

    def want(self, name: str, argv: list[str]) -> None:
        log = str(self.directory / f"{name}.log")
        text = json.dumps({"argv": argv, "env": dict(os.environ), "log": log})
        fresh = self.directory / "wanted" / f".{name}"
        fresh.write_text(text)
        fresh.replace(self.directory / "wanted" / name)
        self.process.send_signal(signal.SIGHUP)

    def pid(self, name: str) -> int | None:
        try:
            return int((self.directory / "pids" / name).read_text())
        except (OSError, ValueError):
            return None

    def new_pid(self, name: str, old: int | None) -> int:
        assert wait_for(lambda: self.pid(name) not in (None, old))
        found = self.pid(name)
        assert found is not None
        return found


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path / "keeper")
    yield kept
    kept.process.terminate()
    kept.process.wait(SECONDS)


def test_a_program_that_is_killed_runs_again_under_another_id(keeper: Kept) -> None:
    keeper.want("sleeper", ["sleep", "1000"])
    first = keeper.new_pid("sleeper", None)
    os.kill(first, signal.SIGKILL)
    assert running(keeper.new_pid("sleeper", first))


def test_a_program_that_is_held_stays_down_until_it_is_released(keeper: Kept) -> None:
    keeper.want("sleeper", ["sleep", "1000"])
    first = keeper.new_pid("sleeper", None)
    held = keeper.directory / "held" / "sleeper"
    held.touch()
    os.kill(first, signal.SIGKILL)
    time.sleep(1.0)
    assert keeper.pid("sleeper") is None
    held.unlink()
    keeper.process.send_signal(signal.SIGHUP)
    keeper.new_pid("sleeper", first)


def test_a_program_that_is_wanted_no_more_is_ended_with_what_it_started(keeper: Kept) -> None:
    keeper.want("shell", ["sh", "-c", "sleep 1000 & echo $!; wait"])
    keeper.new_pid("shell", None)
    log = keeper.directory / "shell.log"
    assert wait_for(lambda: log.exists() and bool(log.read_text().strip()))
    child = int(log.read_text())
    (keeper.directory / "wanted" / "shell").unlink()
    keeper.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: not running(child))


def test_a_program_that_cannot_be_started_says_so_in_its_log_and_is_tried_again(
    keeper: Kept,
) -> None:
    keeper.want("nothing", ["/no/such/program"])
    log = keeper.directory / "nothing.log"
    assert wait_for(lambda: log.exists() and log.read_text().count("No such file") >= 2)


def test_wishes_that_come_and_go_while_they_are_read_end_nothing(keeper: Kept) -> None:
    for number in range(20):
        keeper.want(f"steady-{number}", ["sleep", "1000"])
    for number in range(4000):
        keeper.want("brief", ["true"])
        if number % 3 == 0:
            time.sleep(0.001)  # so that reading begins at every moment of a wish's life
        (keeper.directory / "wanted" / "brief").unlink()
        keeper.process.send_signal(signal.SIGHUP)
    assert keeper.process.poll() is None
    assert running(keeper.new_pid("steady-0", None))


def test_programs_can_be_ended_by_sigterm(keeper: Kept) -> None:
    keeper.want("sleeper", ["sleep", "1000"])
    first = keeper.new_pid("sleeper", None)
    os.kill(first, signal.SIGTERM)
    keeper.new_pid("sleeper", first)


def test_ending_the_keeper_ends_everything(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "keeper")
    kept.want("stubborn", ["sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000"])
    pid = kept.new_pid("stubborn", None)
    kept.process.terminate()
    assert kept.process.wait(SECONDS) == 0
    assert not running(pid)
