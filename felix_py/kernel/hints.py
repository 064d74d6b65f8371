"""What the kernel said has changed, merged until the loop looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from felix_py.kernel.errors import EventsLost
from felix_py.kernel.model import Hint, IPNetwork
from felix_py.kernel.port import Kernel, Monitor

log = structlog.get_logger(__name__)

MONITOR_WAIT_SECONDS = 0.5
"""How soon the reader notices that it should stop."""

MAX_PREFIXES = 4096
"""Changed routes remembered by prefix; beyond that all routes are read again, which is cheaper."""


@dataclass(frozen=True, slots=True)
class Look:
    """What to read from the kernel again."""

    links: bool = False
    addresses: bool = False
    settings: bool = False
    all_routes: bool = False
    prefixes: frozenset[IPNetwork] = frozenset()

    @property
    def topology(self) -> bool:
        """Links or addresses changed: with them the kernel may have dropped routes without a word."""
        return self.links or self.addresses


EVERYTHING = Look(links=True, addresses=True, settings=True, all_routes=True)


class Hints:
    """Merges hints of the reader thread for the loop: bounded by MAX_PREFIXES."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: set[str] = set()
        self._prefixes: set[IPNetwork] = set()
        self._all_routes = False
        self.everything()

    def everything(self) -> None:
        """Events were lost, or nothing was read yet."""
        with self._lock:
            self._kinds = {"links", "addresses", "settings"}
            self._all_routes = True

    def add(self, hint: Hint) -> None:
        """Note one hint."""
        with self._lock:
            if hint.what != "routes":
                self._kinds.add(hint.what)
            elif hint.prefixes:
                self._prefixes |= hint.prefixes
            else:
                self._all_routes = True
            if len(self._prefixes) > MAX_PREFIXES:
                self._all_routes = True
                self._prefixes.clear()

    @property
    def pending(self) -> bool:
        """Whether something was noted since the last `take`."""
        with self._lock:
            return bool(self._kinds or self._prefixes or self._all_routes)

    def take(self) -> Look:
        """Everything noted since the last call."""
        with self._lock:
            look = Look(
                links="links" in self._kinds,
                addresses="addresses" in self._kinds,
                settings="settings" in self._kinds,
                all_routes=self._all_routes,
                prefixes=frozenset(self._prefixes),
            )
            self._kinds.clear()
            self._prefixes.clear()
            self._all_routes = False
            return look


class KernelReader:
    """The thread that reads netlink events into Hints and wakes the loop.

    `quiet`: route protocols whose changes are nothing to the reader's daemon.
    """

    def __init__(
        self, kernel: Kernel, hints: Hints, wake: Callable[[], None], quiet: frozenset[int]
    ) -> None:
        self._kernel = kernel
        self._hints = hints
        self._wake = wake
        self._quiet = quiet
        self._monitor: Monitor = kernel.watch(quiet)

    def run(self, stop: threading.Event) -> None:
        """Read until told to stop. After lost events it starts over and has everything read."""
        try:
            while not stop.is_set():
                self._read_once()
        finally:
            self._monitor.close()

    def _read_once(self) -> None:
        try:
            found = self._monitor.next(MONITOR_WAIT_SECONDS)
        except EventsLost:
            log.warning("kernel events lost, reading everything again")
            self._monitor.close()
            self._monitor = self._kernel.watch(self._quiet)
            self._hints.everything()
            self._wake()
            return
        for hint in found:
            self._hints.add(hint)
        if found:
            self._wake()
