"""Pure: the switches of pods' links and of the host as a whole.

Values: Calico v3.32 `felix/dataplane/linux/endpoint_mgr.go` (`configureInterface`), but
route_localnet stays off, because 1 lets a pod reach what listens on the host's 127.0.0.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from felix_py.agent.calc.conflicts import winner
from felix_py.agent.snapshot import Snapshot
from felix_py.kernel.model import Link, LinkSettings, Route
from felix_py.kernel.ownership import LINK_PREFIX

POD_LINK4 = LinkSettings(
    forwarding4=True, proxy_arp=True, rp_filter=1, route_localnet=False, proxy_delay=0
)
"""rp_filter 1: a pod can send from its own addresses only. proxy_delay 0: else the answer to a
pod's first ARP request waits up to 0.8 s."""

RA_PROTOCOL = 9
"""RTPROT_RA: a route learned from a router advertisement."""
UPLINK_KINDS = frozenset({"", "bond", "team", "vlan"})
"""Kinds of links that no container runtime makes; "" is a physical one."""


def settings_of(interface: str, snapshot: Snapshot, *, ipv6: bool) -> LinkSettings | None:
    """What a host link that a local endpoint stands on should have; None: not ours to touch.

    ipv6: this host has IPv6 at all. A pod's link then never takes router advertisements: with
    Linux's default a pod could give the host a default route.
    """
    if winner(snapshot.interfaces.get(interface, {}).values(), snapshot.links) is None:
        return None
    if not ipv6:
        return POD_LINK4
    return LinkSettings(
        forwarding4=POD_LINK4.forwarding4,
        proxy_arp=POD_LINK4.proxy_arp,
        rp_filter=POD_LINK4.rp_filter,
        route_localnet=POD_LINK4.route_localnet,
        proxy_delay=POD_LINK4.proxy_delay,
        forwarding6=True,
        proxy_ndp=True,
        accept_ra=0,
    )


def uses_ipv6(snapshot: Snapshot) -> bool:
    """True when a local endpoint has an IPv6 address or an enabled pool could give one."""
    return any(address.version == 6 for address in snapshot.claims) or any(
        pool.cidr.version == 6 and not pool.disabled for pool in snapshot.pools.values()
    )


def host_settings(snapshot: Snapshot) -> LinkSettings:
    """The switches of `all`: forward IPv4, and IPv6 only where it is used."""
    return LinkSettings(forwarding4=True, forwarding6=True if uses_ipv6(snapshot) else None)


def may_live_on_advertisements(links: Iterable[Link]) -> tuple[Link, ...]:
    """Links that take router advertisements until they begin to forward, but for pods' links."""
    return tuple(
        link
        for link in links
        if link.settings.accept_ra == 1
        and link.name != "lo"
        and not link.name.startswith(LINK_PREFIX)
    )


def uplinks_on_advertisements(links: Iterable[Link], routes: Iterable[Route]) -> tuple[str, ...]:
    """Those links that must get accept_ra 2 before `all.forwarding` of IPv6 is switched on.

    The kernel deletes default routes learned from advertisements the moment a link with accept_ra 1
    begins to forward, and learns none afterwards. At boot the first advertisement may come after us.
    So it is the links that hold such a route, those that are never a container's (physical ones, bonds,
    VLANs), and those that a default route of either family leads to.
    """
    ways = {hop.ifindex for route in routes if _leads_out(route) for hop in route.next_hops}
    return tuple(
        sorted(
            link.name
            for link in may_live_on_advertisements(links)
            if link.index in ways or link.kind in UPLINK_KINDS
        )
    )


def _leads_out(route: Route) -> bool:
    prefix = route.key.prefix
    return prefix.prefixlen == 0 or (prefix.version == 6 and route.protocol == RA_PROTOCOL)
