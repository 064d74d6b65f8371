"""What a node's IPAM does unasked, one transaction a turn: half-way affinities put right, the node's
tunnel addresses taken and given back. Level-triggered; what is refused is tried again with a backoff.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from felix_py.datastore.errors import StoreRefused
from felix_py.datastore.keys import HandleKey
from felix_py.datastore.model import IPAddress
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import FelixPyError, RefusedError, TransientError
from felix_py.runtime.schedule import Backoff, Interval, Retry
from ipam.batch import Batch
from ipam.choose import moment_of
from ipam.commit import Committer
from ipam.draft import Draft, MissingFacts
from ipam.reader import Reader
from ipam.repair import repairs
from ipam.tickets import Ticket
from ipam.tunnel_lease import TunnelAsk, TunnelLease, settle_tunnel
from ipam.tunnels import TunnelKind, handle_of
from ipam.view import View

log = structlog.get_logger(__name__)

Devices = Callable[[], Mapping[TunnelKind, frozenset[IPAddress]]]
"""The addresses that this host's tunnel devices carry. Raises TransientError when that cannot be said."""

LOOK_AGAIN_SECONDS = 60.0
"""Handles and own blocks are read again this often: an administrator may have released an address."""

LEAVING_SECONDS = 2.0
"""How often it is looked whether an address that nobody wants is off its device by now."""

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0
"""How soon a refused address (the pools are full) is asked for again; any change asks at once."""

MAX_READS = 12
"""Rounds of reading for one decision; then it is refused and tried again with the backoff."""

LOSSES_BEFORE_REQUESTS = 3
"""A tunnel address in use comes before requests, which might take it; after so many lost races in a
row requests are served all the same."""


class Upkeep:
    """One thread's; `work` is called only while decisions may be taken."""

    def __init__(
        self, view: View, reader: Reader, commit: Committer, clock: Clock, devices: Devices
    ) -> None:
        self._view = view
        self._reader = reader
        self._commit = commit
        self._clock = clock
        self._devices = devices
        self._repair_wanted = True
        self._decided_on: object = None
        self._look_again = Interval(LOOK_AGAIN_SECONDS)
        self._leaving = Interval(LEAVING_SECONDS)
        self._retry = Retry(Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS))
        self._losses = 0
        self.in_use_is_held = False
        """What this node's tunnels use was taken since the store is trusted, or could not be."""
        self._leases: dict[TunnelKind, TunnelLease] = {}
        self.problems: dict[TunnelKind, str] = {}
        """Why a kind of tunnel has no address, for people."""

    @property
    def wanted(self) -> bool:
        """True while there is something to look at soon."""
        return self._repair_wanted or self._tunnels_due

    def note(self, *, changed: bool) -> None:
        """The view may have changed."""
        self._repair_wanted |= changed

    def distrust(self) -> None:
        """The store went back: what was decided on it counts no more."""
        self._decided_on = None
        self.in_use_is_held = False
        self._look_again.hurry()

    def hold(self) -> None:
        """While every node registers what lives there, and nothing new is given out: take in place what
        this node's tunnels use, as long as it is free. Raises StoreAway, StoreRefused."""
        if not self.in_use_is_held:
            self.in_use_is_held = self._settle_tunnels(only_in_use=True)

    def work(self) -> bool:
        """Do what is due; False: there is more, which comes before requests. Raises StoreAway."""
        if self._repair_wanted:
            self._repair_affinities()
        if not self._tunnels_due:
            return True
        self._decided_on = self._facts
        try:
            return self._settle_tunnels()
        except StoreRefused as error:
            self._note(dict.fromkeys(TunnelKind, str(error)))
            return True
        except FelixPyError:
            self._decided_on = None
            raise

    def status(self) -> dict[str, Any]:
        """What the node holds, by the type of the address."""
        return {
            kind.value: {
                "address": None if lease.address is None else str(lease.address),
                "leaving": [str(address) for address in lease.leaving],
            }
            for kind, lease in self._leases.items()
            if lease != TunnelLease()
        }

    def _repair_affinities(self) -> None:
        """Put our own half-way affinities right; what cannot be decided now is tried again."""
        planned = repairs(self._view)
        self._repair_wanted = planned is not None
        if planned is None:
            return
        draft, decided = planned
        settled = self._commit.commit(Batch[Ticket](draft))
        if settled.revision is not None:
            log.info("affinities repaired", decided=decided)

    @property
    def _facts(self) -> object:
        return self._view.pools, self._view.own_node, self._view.configuration

    @property
    def _tunnels_due(self) -> bool:
        now = self._clock.now()
        leaving = any(lease.leaving for lease in self._leases.values())
        return (
            self._decided_on != self._facts
            or self._retry.due(now)
            or self._look_again.wait_seconds(now) == 0
            or (leaving and self._leaving.wait_seconds(now) == 0)
        )

    def _settle_tunnels(self, *, only_in_use: bool = False) -> bool:
        """Decide all kinds in one transaction; False: it lost and is to be tried again first."""
        if self._look_again.wait_seconds(self._clock.now()) == 0:
            handles = (HandleKey(handle_of(kind, self._view.node)) for kind in TunnelKind)
            self._reader.fill([MissingFacts(*handles, own_blocks=True)])
            self._look_again.due(self._clock.now())
        self._leaving.due(self._clock.now())
        try:
            on_devices = self._devices()
        except TransientError as error:
            self._note(dict.fromkeys(TunnelKind, str(error)))
            return True
        draft, leases, problems = self._planned(on_devices, only_in_use=only_in_use)
        if draft.writes():
            if self._commit.commit(Batch[Ticket](draft)).revision is None:
                self._losses += 1
                self._decided_on = None
                return self._losses > LOSSES_BEFORE_REQUESTS
            log.info("tunnel addresses settled", addresses=_shown(leases))
        self._losses, self._leases = 0, leases
        self._note(problems)
        return True

    def _planned(
        self, on_devices: Mapping[TunnelKind, frozenset[IPAddress]], *, only_in_use: bool
    ) -> tuple[Draft, dict[TunnelKind, TunnelLease], dict[TunnelKind, str]]:
        """One draft for all kinds, with everything that it had to read."""
        for _ in range(MAX_READS):
            draft = Draft(self._view)
            leases: dict[TunnelKind, TunnelLease] = {}
            problems: dict[TunnelKind, str] = {}
            try:
                for kind in TunnelKind:
                    child = draft.child()
                    ask = TunnelAsk(
                        kind,
                        on_devices.get(kind, frozenset()),
                        moment_of(self._clock.wall()),
                        only_in_use=only_in_use,
                    )
                    try:
                        leases[kind] = settle_tunnel(child, ask)
                    except RefusedError as error:
                        leases[kind] = self._leases.get(kind, TunnelLease())
                        problems[kind] = str(error)
                        continue
                    child.keep()
            except MissingFacts as missing:
                self._reader.fill([missing])
                continue
            return draft, leases, problems
        raise StoreRefused(f"a tunnel address needs more than {MAX_READS} reads")

    def _note(self, problems: dict[TunnelKind, str]) -> None:
        if problems and problems != self.problems:
            log.warning("no tunnel address", why={k.value: v for k, v in problems.items()})
        self.problems = problems
        self._retry.record(self._clock.now(), failed=bool(problems))


def _shown(leases: Mapping[TunnelKind, TunnelLease]) -> dict[str, str]:
    return {
        kind.value: str(lease.address) for kind, lease in leases.items() if lease != TunnelLease()
    }
