"""One tunnel device over time: wanted, hindered, or kept for those who still send to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from felix_py.agent.managers.far_ends import FarEnds
from felix_py.kernel.errors import DumpInterrupted, KernelRefused
from felix_py.kernel.model import Link
from felix_py.kernel.tunnel_device import TunnelDevice
from felix_py.kernel.tunnel_model import (
    EntryEvent,
    FaultReason,
    Standing,
    TunnelFault,
    TunnelWish,
)
from felix_py.runtime.schedule import Backoff, Retry

GRACE_SECONDS = 120.0
"""How long a tunnel that no pool wants is still listened to: others stop sending when they hear of it."""
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0
"""Each try asks the kernel for its module, which starts a modprobe."""


class TunnelKeeper:
    """Decides when the driver looks: on a new wish, an event, a sweep, a retry. One thread.

    A fresh process that finds a device nobody wants leaves it for a grace of its own.
    """

    def __init__(self, device: TunnelDevice) -> None:
        self.device = device
        self.wish: TunnelWish | None = None
        """The decision; None while no pool wants the tunnel."""
        self.standing = Standing()
        self.far_ends = FarEnds()
        self._retry = Retry(Backoff(FIRST_RETRY, LONGEST_RETRY))
        self._due = True
        self._unwanted_at: float | None = None
        self._retired = False

    @property
    def stands(self) -> bool:
        """Wanted, and up with the address that IPAM gave this node."""
        wish, found = self.wish, self.standing
        return (
            wish is not None
            and wish.address is not None
            and found.up
            and found.fault is None
            and found.address == wish.address
        )

    @property
    def in_vain(self) -> bool:
        """What hinders it is for a person to take away: nobody need hurry."""
        fault = self.standing.fault
        return fault is not None and fault.reason is not FaultReason.REFUSED

    @property
    def leaving(self) -> bool:
        """Wanted no more, and still there for those who send to it."""
        return self.wish is None and self.device.wish is not None

    def want(self, wish: TunnelWish | None, now: float) -> None:
        """The decision is this now; None starts the grace."""
        if wish is None:
            if self._unwanted_at is None:
                self._unwanted_at = now
                self.standing = replace(self.standing, fault=None)
            self.wish = None
            return
        self._unwanted_at, self._retired = None, False
        if wish == self.wish:
            return
        self.wish = wish
        self.far_ends.update(wish.remotes, now)
        self._wish_of(wish)

    def note(self, event: EntryEvent) -> None:
        """The kernel's word on one of the device's entries."""
        self._due = self.device.note(event) or self._due

    def hurry(self) -> None:
        """Something about the device changed."""
        self._due = True

    def distrust(self) -> None:
        """Have everything read again."""
        self.device.distrust()
        self._due = True

    def compare(self, by_name: Mapping[str, Link]) -> None:
        """The host's links as listed: a device that came or went is looked at."""
        link = by_name.get(self.device.name)
        if (None if link is None else link.index) != self.device.index:
            self._due = True

    def settle(self, now: float, *, sweep: bool) -> bool:
        """Bring the device to what is wanted, when anything asks for it; whether it was looked at."""
        if self._unwanted_at is not None and now - self._unwanted_at >= GRACE_SECONDS:
            if self._retired:
                return False
            self.device.want(None)
            self._due = self._due or self.standing.fault is None
        elif self.device.wish is None:
            return False
        if self.far_ends.expire(now) and self.device.wish is not None:
            self._wish_of(self.device.wish)
        if not (self._due or self._retry.due(now) or (sweep and self.standing.fault is None)):
            return False
        self._due = False
        self.standing = _applied(self.device)
        failed = self.standing.fault is not None
        self._retry.record(now, failed=failed)
        self._retired = self.device.wish is None and not failed
        return True

    def _wish_of(self, wish: TunnelWish) -> None:
        self.device.want(replace(wish, remotes=self.far_ends.current))
        self._due = True


def _applied(device: TunnelDevice) -> Standing:
    try:
        return device.apply()
    except (DumpInterrupted, KernelRefused) as error:
        remedy = "it is read again in a moment; nothing is written on wrong knowledge"
        return Standing(fault=TunnelFault(FaultReason.REFUSED, str(error), remedy))
