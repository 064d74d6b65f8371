"""One thread ends, all stop, and the exit status says whether that was in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from felix_py.runtime.supervisor import Supervisor


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def waits(stop: threading.Event) -> None:
    stop.wait(10)


def test_a_thread_that_fails_stops_the_others_with_status_1() -> None:
    stopped = threading.Event()

    def fails(stop: threading.Event) -> None:
        raise ValueError("broken")

    def notices(stop: threading.Event) -> None:
        stop.wait(10)
        stopped.set()

    supervisor = Supervisor()
    supervisor.add("fails", fails)
    supervisor.add("notices", notices)
    assert supervisor.run() == 1
    assert stopped.is_set()


def test_a_thread_that_just_returns_is_a_fault_too() -> None:
    supervisor = Supervisor()
    supervisor.add("returns", lambda _: None)
    supervisor.add("waits", waits)
    assert supervisor.run() == 1


def test_sigterm_is_an_orderly_end() -> None:
    supervisor = Supervisor()
    supervisor.add("waits", waits)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert supervisor.run() == 0
    timer.join()
