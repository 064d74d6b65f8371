"""Far ends that are wanted no more stay a little longer: routes move away from a tunnel first."""

from __future__ import annotations

from collections.abc import Mapping

from felix_py.kernel.model import IPAddress
from felix_py.kernel.tunnel_model import Vtep

LINGER_SECONDS = 5.0
"""Routes are written after tunnels in each round, and are tried again within this time."""


class FarEnds:
    """What one device should know of, as decided, and what has just been left out. One thread."""

    def __init__(self) -> None:
        self._wanted: Mapping[IPAddress, Vtep] = {}
        self._leaving: dict[IPAddress, tuple[Vtep, float]] = {}

    def update(self, wanted: Mapping[IPAddress, Vtep], now: float) -> None:
        """The decision is this now."""
        for address, end in self._wanted.items():
            if address not in wanted:
                self._leaving[address] = (end, now + LINGER_SECONDS)
        self._wanted = wanted

    def expire(self, now: float) -> bool:
        """Forget those whose time is over; whether there were any."""
        over = [at for at, (_, until) in self._leaving.items() if now >= until]
        for address in over:
            del self._leaving[address]
        return bool(over)

    @property
    def current(self) -> Mapping[IPAddress, Vtep]:
        """All that the device should know. A far end under a new address has its MAC for itself."""
        if not self._leaving:
            return self._wanted
        taken = {end.mac for end in self._wanted.values()}
        staying = {at: end for at, (end, _) in self._leaving.items() if end.mac not in taken}
        return {**staying, **self._wanted}
