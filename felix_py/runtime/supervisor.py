"""Owns the threads of a daemon: one ends, all stop, the process exits and says why."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import structlog

log = structlog.get_logger(__name__)

JOIN_SECONDS = 5.0
"""How long a thread may take to notice that it should stop; after that the process exits anyway,
because every thread is a daemon thread."""

Target = Callable[[threading.Event], None]


@dataclass(frozen=True, slots=True)
class _Ended:
    name: str
    error: BaseException | None


class Supervisor:
    """Starts named threads and waits until one ends or a signal asks to stop.

    A thread that ends by itself, with or without an exception, is a fault: the exit status is 1.
    SIGTERM and SIGINT are the only orderly ends: the exit status is 0.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._first_ended: _Ended | None = None
        self._lock = threading.Lock()

    def add(self, name: str, target: Target) -> None:
        """Register a thread; `target` gets the stop event and must return soon after it is set."""
        thread = threading.Thread(target=self._guard, args=(name, target), name=name, daemon=True)
        self._threads.append(thread)

    def run(self) -> int:
        """Start everything, wait, stop everything; the process's exit status."""
        stop_on_signals(self.stop)
        for thread in self._threads:
            thread.start()
        while not self.stop.wait(0.5):
            pass
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        ended = self._first_ended
        if ended is None:
            log.info("stopped")
            return 0
        log.error("thread ended, stopping", thread=ended.name, exc_info=ended.error)
        return 1

    def _guard(self, name: str, target: Target) -> None:
        error: BaseException | None = None
        try:
            target(self.stop)
        except BaseException as caught:  # noqa: BLE001  the supervisor is the one exit door
            error = caught
        with self._lock:
            if not self.stop.is_set() and self._first_ended is None:
                self._first_ended = _Ended(name, error)
        self.stop.set()


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT set this event; the first process of a container would else ignore them."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
