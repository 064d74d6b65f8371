"""Tells the runtime of the network, once pods can talk: writes the conflist and keeps it right.

It is written when the store is in sync and the node's first announcement is out, so that a node that
becomes Ready by it really is. From then on it stays: neither a restart nor etcd's absence takes it away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from cni import announced, conflist, host_files
from cni.conflist import CONFLIST_NAME, Whose
from cni.settings import CniSettings
from felix_py.runtime.clock import Clock
from felix_py.runtime.settings import BadSettings

log = structlog.get_logger(__name__)

ANNOUNCEMENT_SECONDS = 30.0
"""How long the first announcement is waited for, counted from in sync. Then the list is written all the
same: pods of one node can talk, and a node that cannot reach its peers must not stay empty for that."""

SETTLE_SECONDS = 5.0
"""So long peers that may still come are waited for once another one has heard everything, or while none is
known: at a cluster's first start the Nodes, which peers are made of, come one after the other."""

POLL_SECONDS = 0.5
KEEP_SECONDS = 5.0
"""How often it is looked whether the list is still as it should be."""


@dataclass(slots=True)
class ConflistWriter:
    """One thread's work. `bgp_status`: what the bgp agent says of itself; None: BGP is off."""

    settings: CniSettings
    why_not: Callable[[], str | None]
    bgp_status: Callable[[], Mapping[str, Any] | None] | None
    clock: Clock
    shapes: bool = False
    name: str = "conflist"
    state: str = "not looked at yet"
    """For people: what is with the list."""
    problem: str | None = None
    """One sentence that somebody must act on."""
    _ready_since: float | None = field(default=None, init=False)
    _settling_since: float | None = field(default=None, init=False)

    def run(self, stop: threading.Event) -> None:
        """Until asked to stop. Without a folder there is nothing to do."""
        while not stop.is_set():
            stop.wait(
                POLL_SECONDS if not self.settings.conf_dir or not self.step() else KEEP_SECONDS
            )

    def report(self) -> Mapping[str, object]:
        """For the status document, under the name."""
        return {"path": str(self._path) if self.settings.conf_dir else "", "state": self.state}

    def warnings(self) -> list[str]:
        """What somebody must act on."""
        return [] if self.problem is None else [self.problem]

    def step(self) -> bool:
        """Look and write; False: look again soon."""
        try:
            return self._look()
        except (BadSettings, OSError) as error:
            self._say(f"not written: {error}", str(error))
            return False

    def _look(self) -> bool:
        text = host_files.read(self._path)
        owner = None if text is None else conflist.whose(text)
        if owner is Whose.FOREIGN:
            told = f"{self._path} is another network's and is left as it is: rename or remove it"
            self._say("another network's file stands at our name", told)
            return False
        if owner is Whose.OPERATORS:
            self._say("an operator's own list, left as it is", self._shadow())
            return True
        if owner is None:
            waits_for = self._waits_for()
            if waits_for is not None:
                self._say(f"waiting: {waits_for}", None)
                return False
        wanted = conflist.render(self.settings, self._present(), shapes=self.shapes)
        if host_files.place(self._path, wanted.encode(), 0o600):
            log.info("conflist written", path=str(self._path))
        self._say("written", self._shadow())
        return True

    @property
    def _path(self) -> Path:
        return Path(self.settings.conf_dir) / CONFLIST_NAME

    def _waits_for(self) -> str | None:
        reason = self.why_not()
        if reason is not None:
            self._ready_since = None
            return reason
        now = self.clock.now()
        if self._ready_since is None:
            self._ready_since = now
        if self.bgp_status is None:
            return None
        reason = self._announcement(now)
        if reason is not None and now - self._ready_since >= ANNOUNCEMENT_SECONDS:
            log.warning("conflist is written before the first announcement", why=reason)
            return None
        return reason

    def _announcement(self, now: float) -> str | None:
        """What the first announcement waits for."""
        assert self.bgp_status is not None
        status = self.bgp_status()
        missing = announced.missing(status)
        if missing is not None:
            self._settling_since = None
            return missing
        if self._settling_since is None:
            self._settling_since = now
        return announced.incomplete(status) if now - self._settling_since < SETTLE_SECONDS else None

    def _present(self) -> frozenset[str]:
        """Which reference plugins the runtime could execute."""
        folder = self.settings.bin_dir
        names = host_files.names_in(Path(folder)) if folder else []
        return frozenset(name for name in names if os.access(Path(folder) / name, os.X_OK))

    def _shadow(self) -> str | None:
        """Runtimes take the first network by name."""
        first = conflist.networks(host_files.names_in(self._path.parent))[0]
        if first == CONFLIST_NAME:
            return None
        return (
            f"{self._path.parent / first} comes before ours by name: the runtime uses that network"
        )

    def _say(self, state: str, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.warning("conflist", why=problem)
        self.state, self.problem = state, problem
