"""What the kernel said has changed, merged until the loop looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bgp.model import IPNetwork
from felix_py.kernel.errors import EventsLost
from felix_py.kernel.model import Hint
from felix_py.kernel.ownership import FELIX
from felix_py.kernel.port import Kernel, Monitor

log = structlog.get_logger(__name__)

MONITOR_WAIT_SECONDS = 0.5
"""How soon the reader notices that it should stop."""
MAX_PREFIXES = 4096
"""Changed routes remembered by prefix; beyond that all routes are read again, which is cheaper."""
QUIET = frozenset({FELIX.route_protocol})
"""Pods' routes are felix's, and no next hop goes through them."""


@dataclass(frozen=True, slots=True)
class Look:
    """What to read from the kernel again."""

    links: bool = False
    """Links or addresses changed: with them the kernel may have dropped routes without a word."""
    all_routes: bool = False
    prefixes: frozenset[IPNetwork] = frozenset()


class KernelHints:
    """Merges hints of the reader thread for the loop: bounded by MAX_PREFIXES."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links = self._all_routes = True
        self._prefixes: set[IPNetwork] = set()

    def everything(self) -> None:
        """Events were lost, or nothing was read yet."""
        with self._lock:
            self._links = self._all_routes = True

    def add(self, hint: Hint) -> None:
        """Note one hint; settings of links are nothing to us."""
        with self._lock:
            if hint.what in {"links", "addresses"}:
                self._links = True
            elif hint.what == "routes":
                self._prefixes |= hint.prefixes
                self._all_routes = self._all_routes or not hint.prefixes
            if len(self._prefixes) > MAX_PREFIXES:
                self._all_routes = True
                self._prefixes.clear()

    def take(self) -> Look:
        """Everything noted since the last call."""
        with self._lock:
            look = Look(self._links, self._all_routes, frozenset(self._prefixes))
            self._links = self._all_routes = False
            self._prefixes.clear()
            return look


class KernelReader:
    """The thread that reads netlink events into KernelHints and rings for the loop."""

    def __init__(self, kernel: Kernel, hints: KernelHints, ring: Callable[[], None]) -> None:
        self._kernel = kernel
        self._hints = hints
        self._ring = ring
        self._monitor: Monitor = kernel.watch(QUIET)

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
            self._monitor = self._kernel.watch(QUIET)
            self._hints.everything()
            self._ring()
            return
        for hint in found:
            self._hints.add(hint)
        if found:
            self._ring()
