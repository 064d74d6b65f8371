"""What the loop asks of a keeper of one kind of kernel object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.kernel.model import Link


class Manager(Protocol):
    """Called by the loop's thread alone, in the order in which main.py lists them; pod links, host
    switches and routes come after. Whatever a manager cannot do it reports; it raises KernelRefused or
    TransientError only when everything must be read again."""

    @property
    def name(self) -> str:
        """Its part of the status document."""
        ...

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """Something of this may have changed: recompute the wishes it touches."""
        ...

    def apply(self, now: float, links: Sequence[Link], *, sweep: bool) -> bool:
        """Bring the kernel to what is wanted, called every round; nearly free when nothing is to do.
        sweep: look also at what netlink does not announce. False: something is still wrong."""
        ...

    def report(self) -> Mapping[str, object]:
        """Its part of the status document; the same facts give equal documents."""
        ...

    def warnings(self) -> Sequence[str]:
        """What people should look at, one sentence each."""
        ...
