"""Tunnel devices: which stand, which cannot and why, and which are kept for those who still send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from felix_py.agent.calc import mtu, tunnels
from felix_py.agent.calc.mtu import Encapsulation
from felix_py.agent.calc.node_object import Published
from felix_py.agent.calc.tunnels import PROFILES, TunnelDecision
from felix_py.agent.managers.tunnel_keeper import TunnelKeeper
from felix_py.agent.snapshot import Dirty, Snapshot
from felix_py.kernel.model import IPAddress, Link
from felix_py.kernel.port import TunnelLinks
from felix_py.kernel.tunnel_device import TunnelDevice
from felix_py.kernel.tunnel_model import FaultReason, TunnelFault
from felix_py.runtime.metrics import TUNNEL_FAULT, TUNNEL_UP
from felix_py.runtime.schedule import Interval

log = structlog.get_logger(__name__)

RELIST_SECONDS = 60.0
"""Far ends are read again this often, whatever netlink said."""


class TunnelManager:
    """Implements managers.manager.Manager.

    A tunnel that no pool wants is unpublished at once and stays for a grace (tunnel_keeper.py); a far
    end goes a little after its routes (far_ends.py).
    """

    name = "tunnels"

    def __init__(self, links: TunnelLinks, rp_filter_of_all: Callable[[], int]) -> None:
        self._links, self._rp_filter_of_all = links, rp_filter_of_all
        self._keepers = {
            kind: TunnelKeeper(TunnelDevice(profile.device, profile.version, links))
            for kind, profile in PROFILES.items()
        }
        self._snapshot: Snapshot | None = None
        self._decision = TunnelDecision()
        self._mtu: mtu.Mtu | None = None
        self._listed: Sequence[Link] | None = None
        self._fresh = False
        self._relist = Interval(RELIST_SECONDS)
        self._advice: tuple[str, ...] = ()

    @property
    def standing(self) -> Mapping[Encapsulation, IPAddress]:
        """The wanted tunnels whose device is up with the address that IPAM gave this node."""
        return {
            kind: keeper.standing.address
            for kind, keeper in self._keepers.items()
            if keeper.stands and keeper.standing.address is not None
        }

    @property
    def published(self) -> Published:
        """What the Node object may say of these, as far as devices go."""
        standing = self.standing
        ends = {
            PROFILES[kind].version: (address, wish.mac)
            for kind, address in standing.items()
            if (wish := self._keepers[kind].wish) is not None and wish.mac
        }
        return Published(standing.get(Encapsulation.IPIP), ends)

    def decide(self, dirty: Dirty, snapshot: Snapshot) -> None:
        """Nodes, pools, configuration or links are others: apply, which knows the MTU, decides."""
        if dirty.everything or dirty.nodes or dirty.links or self._snapshot is None:
            self._snapshot = snapshot
            self._fresh = True

    def apply(self, now: float, links: Sequence[Link], *, sweep: bool) -> bool:
        """Put right what events, a sweep, a retry or a new decision ask for."""
        snapshot = self._snapshot
        if snapshot is None:
            return True
        if links is not self._listed or self._fresh:
            self._decide_again(snapshot, links, now)
        self._hear()
        if self._relist.due(now):
            for keeper in self._keepers.values():
                keeper.distrust()
        for kind, keeper in self._keepers.items():
            before = keeper.standing.fault
            if keeper.settle(now, sweep=sweep):
                self._tell(kind, before)
        if sweep:
            self._look_around(snapshot, links)
        return all(k.standing.fault is None or k.in_vain for k in self._keepers.values())

    def report(self) -> Mapping[str, object]:
        """Its part of the status document: the devices that are wanted, or not yet gone."""
        told = [self._story(kind, keeper) for kind, keeper in self._keepers.items()]
        return {"devices": [story for story in told if story is not None]}

    def warnings(self) -> Sequence[str]:
        """Tunnels that cannot stand, with the pools that wait for them; what harms a change of mode."""
        found = [
            f"{self._whose(kind)}: {fault.message}; {fault.remedy}"
            for kind, keeper in self._keepers.items()
            if (fault := keeper.standing.fault) is not None
        ]
        return [*found, *self._advice]

    def _decide_again(self, snapshot: Snapshot, links: Sequence[Link], now: float) -> None:
        """Links' MTU is part of the decision, and not of what makes things dirty."""
        self._listed = links
        by_name = {link.name: link for link in links}
        for keeper in self._keepers.values():
            keeper.compare(by_name)
        found = mtu.decide(links, snapshot.pools.values(), snapshot.configuration)
        if found == self._mtu and not self._fresh:
            return
        self._mtu, self._fresh = found, False
        self._decision = tunnels.decide(snapshot, found)
        for kind, keeper in self._keepers.items():
            wish = self._decision.wishes.get(kind)
            # One that is wanted and cannot be built just now: what stands, stays.
            if wish is not None or kind not in self._decision.lacking:
                keeper.want(wish, now)

    def _hear(self) -> None:
        """What the kernel told of our devices."""
        by_index = {
            keeper.device.index: keeper
            for keeper in self._keepers.values()
            if keeper.device.index is not None
        }
        told = self._links.events(frozenset(by_index))
        if told is None:
            for keeper in self._keepers.values():
                keeper.distrust()
            return
        for index in told[0]:
            by_index[index].hurry()
        for event in told[1]:
            by_index[event.entry.ifindex].note(event)

    def _look_around(self, snapshot: Snapshot, links: Sequence[Link]) -> None:
        by_index = {link.index: link for link in links}
        everywhere = self._rp_filter_of_all() if self._decision.wishes else 0
        self._advice = tuple(tunnels.advice(snapshot, self._decision, by_index, everywhere))

    def _tell(self, kind: Encapsulation, before: TunnelFault | None) -> None:
        """Metrics, and a line in the log when something else hinders a device than before."""
        keeper = self._keepers[kind]
        device, fault = keeper.device.name, keeper.standing.fault
        TUNNEL_UP.labels(device).set(keeper.standing.up and fault is None)
        for reason in FaultReason:
            TUNNEL_FAULT.labels(device, reason.value).set(
                fault is not None and fault.reason is reason
            )
        if fault == before:
            return
        if fault is None:
            log.info("tunnel can stand again", device=device)
            return
        log.warning(
            "tunnel cannot stand",
            device=device,
            wanted_by=self._whose(kind),
            reason=fault.reason.value,
            message=fault.message,
            remedy=fault.remedy,
        )

    def _whose(self, kind: Encapsulation) -> str:
        users = [] if self._snapshot is None else tunnels.users(kind, self._snapshot)
        return ", ".join(users) or f"FelixConfiguration, {kind.value}"

    def _story(self, kind: Encapsulation, keeper: TunnelKeeper) -> dict[str, object] | None:
        standing, fault = keeper.standing, keeper.standing.fault
        lacking = self._decision.lacking.get(kind)
        if keeper.wish is None and lacking is None and not keeper.leaving:
            return None
        state = "fault" if fault else "leaving" if keeper.leaving else "waiting"
        told: dict[str, object] = {
            "device": keeper.device.name,
            "encapsulation": kind.value,
            "pools": [] if self._snapshot is None else tunnels.users(kind, self._snapshot),
            "state": "standing" if keeper.stands else state,
            "address": None if standing.address is None else str(standing.address),
            "mtu": None if keeper.wish is None else keeper.wish.mtu,
            "farEnds": len(keeper.far_ends.current),
        }
        if lacking is not None:
            told["lacking"] = lacking
        if fault is not None:
            told["reason"], told["message"] = fault.reason.value, fault.message
            told["remedy"] = fault.remedy
        return told
