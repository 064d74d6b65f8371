"""A packet's way as explain tells it: steps, each with its owner in etcd and its object in the kernel,
and what is wrong with it, if anything is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from felix_py.ctl.calc.facts import HopFact, RouteFact
from felix_py.datastore.calc.reachability import Way
from felix_py.kernel.ownership import IPIP_LINK, VXLAN_LINKS

TUNNELS = {IPIP_LINK: Way.IPIP, **dict.fromkeys(VXLAN_LINKS.values(), Way.VXLAN)}
"""Tunnel devices by name."""


class Fault(StrEnum):
    """What can be wrong; the value is stable and for programs."""

    ADDRESS_TWICE = "duplicate-address"
    BLACKHOLE = "lost-block"
    DAEMON_DOWN = "daemon-down"
    FDB = "fdb-entry"
    FILTERED = "filtered"
    FOREIGN_ROUTE = "foreign-route"
    FORWARD_DROPPED = "forward-dropped"
    FORWARDING_OFF = "forwarding-off"
    LINK_DOWN = "link-down"
    LINK_MISSING = "link-missing"
    LINK_OF_ANOTHER = "link-of-another"
    MODULE_MISSING = "module-missing"
    MTU = "mtu"
    NAT_MISSING = "nat-missing"
    NEIGHBOUR = "stale-neighbour"
    NO_ENDPOINT = "no-endpoint"
    NO_NODE = "no-node"
    NO_POOL = "no-pool"
    NO_ROUTE = "no-route"
    NO_WAY_BACK = "no-way-back"
    NOT_ANNOUNCED = "not-announced"
    POD_WITHOUT_ADDRESS = "pod-without-address"
    PATH_REFUSED = "path-refused"
    POOL_DISABLED = "pool-disabled"
    PREFIX_LENGTH = "prefix-length"
    REVERSE_PATH = "rp-filter"
    SENDER_REFUSED = "sender-refused"
    SESSION_DOWN = "session-down"
    TUNNEL_MISSING = "tunnel-missing"
    TUNNEL_WRONG = "tunnel-wrong"
    WRONG_WAY = "wrong-way"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong and what to do. `breaks`: packets are lost by it, now; otherwise they are
    carried all the same, but not as etcd asks, or only small ones."""

    fault: Fault
    text: str
    remedy: str
    breaks: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """One step: where (a node's name), what it is, the kernel's object, its owner in etcd.

    note: what cannot be seen from here, or is worth knowing.
    """

    where: str
    what: str
    kernel: str = ""
    owner: str = ""
    finding: Finding | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What the kernel does with the packet: its route (None: dropped, or not seen) and first hop."""

    step: Step
    route: RouteFact | None = None

    @property
    def hop(self) -> HopFact | None:
        """Where it goes."""
        return self.route.hops[0] if self.route is not None and self.route.hops else None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole way, there and back."""

    source: str
    destination: str
    kind: str
    steps: tuple[Step, ...]

    @property
    def fault(self) -> Step | None:
        """The first step that loses packets, else the first with anything wrong."""
        wrong = [step for step in self.steps if step.finding is not None]
        breaking = (step for step in wrong if step.finding is not None and step.finding.breaks)
        return next(breaking, next(iter(wrong), None))


def first(findings: Iterable[Finding | None]) -> Finding | None:
    """The first that breaks, else the first."""
    found = [finding for finding in findings if finding is not None]
    return next((one for one in found if one.breaks), next(iter(found), None))


def route_text(route: RouteFact) -> str:
    """A route as iproute2 spells it."""
    kind = "" if route.kind == "unicast" else f"{route.kind} "
    hops = " ".join(
        (f"via {hop.gateway} " if hop.gateway is not None else "")
        + f"dev {hop.link}"
        + (" onlink" if hop.onlink else "")
        for hop in route.hops
    )
    metric = f" metric {route.metric}" if route.metric else ""
    return f"{kind}{route.prefix} {hops} proto {route.protocol}{metric}".replace("  ", " ")
