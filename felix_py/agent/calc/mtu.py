"""Pure: how large a packet may be: on the underlay, in each tunnel, in a pod. Bytes of IP packet.

Source of the overheads, of what counts and of the fallback: Calico's `int_dataplane.go`
(findHostMTU, determinePodMTU).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from felix_py.datastore.model import EncapMode, IPPool
from felix_py.kernel.model import Link
from felix_py.kernel.ownership import LINK_PREFIX

IFACE_PATTERN = "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"
"""mtuIfacePattern when FelixConfiguration has none: physical links of common drivers."""
UNKNOWN_HOST_MTU = 1460
"""What is assumed when no link matches: the smallest of the large clouds' networks."""
TUNNEL_KINDS = frozenset({"ipip", "vxlan"})
"""Never an uplink, whatever the pattern: its MTU follows from this decision."""


class Encapsulation(Enum):
    """What a packet between two nodes may be wrapped in."""

    IPIP = "ipip"
    VXLAN = "vxlan"
    VXLAN6 = "vxlan-v6"


OVERHEAD: Mapping[Encapsulation, int] = {
    Encapsulation.IPIP: 20,
    Encapsulation.VXLAN: 50,
    Encapsulation.VXLAN6: 70,
}
"""An IPv4 header; IPv4, UDP, VXLAN and Ethernet; the same with IPv6."""


@dataclass(frozen=True, slots=True)
class MtuTerms:
    """What FelixConfiguration says of it. None: follows from the pools; 0: follows from the host."""

    ipip_enabled: bool | None = None
    vxlan_enabled: bool | None = None
    ipip_mtu: int = 0
    vxlan_mtu: int = 0
    vxlan_mtu6: int = 0
    iface_pattern: str = ""


@dataclass(frozen=True, slots=True)
class Mtu:
    """The decision. `tunnels` has every encapsulation, `enabled` says which count for pods."""

    host: int
    host_is_known: bool
    pod: int
    tunnels: Mapping[Encapsulation, int]
    enabled: frozenset[Encapsulation]


def decide(links: Iterable[Link], pools: Iterable[IPPool], terms: MtuTerms) -> Mtu:
    """Every MTU of this node. Pods get the smallest: a packet's way is not known when it is made."""
    found = host_mtu(links, terms.iface_pattern)
    host = UNKNOWN_HOST_MTU if found is None else found
    enabled = enabled_encapsulations(pools, terms)
    tunnels = {encapsulation: tunnel_mtu(encapsulation, host, terms) for encapsulation in OVERHEAD}
    pod = min((tunnels[encapsulation] for encapsulation in enabled), default=host)
    return Mtu(host, found is not None, min(pod, host), tunnels, enabled)


def host_mtu(links: Iterable[Link], pattern: str) -> int | None:
    """The smallest MTU of the uplinks that are up; None when none matches."""
    matches = re.compile(pattern or IFACE_PATTERN).search
    sizes = [link.mtu for link in links if link.up and _may_be_uplink(link) and matches(link.name)]
    return min(sizes, default=None)


def pattern_fault(pattern: str) -> str | None:
    """Why this is no pattern; None: it is one."""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return None


def tunnel_mtu(encapsulation: Encapsulation, host: int, terms: MtuTerms) -> int:
    """The MTU of a tunnel device: as configured, else what is left of the host's."""
    configured = {
        Encapsulation.IPIP: terms.ipip_mtu,
        Encapsulation.VXLAN: terms.vxlan_mtu,
        Encapsulation.VXLAN6: terms.vxlan_mtu6,
    }[encapsulation]
    return configured or host - OVERHEAD[encapsulation]


def enabled_encapsulations(pools: Iterable[IPPool], terms: MtuTerms) -> frozenset[Encapsulation]:
    """As FelixConfiguration forces it, else what any pool uses.

    A disabled pool counts: it gives no new addresses, but pods that have one still use its tunnels.
    """
    found = set()
    for pool in pools:
        if pool.ipip_mode is not EncapMode.NEVER and pool.cidr.version == 4:
            found.add(Encapsulation.IPIP)
        if pool.vxlan_mode is not EncapMode.NEVER:
            four = pool.cidr.version == 4
            found.add(Encapsulation.VXLAN if four else Encapsulation.VXLAN6)
    _force(found, {Encapsulation.IPIP}, {Encapsulation.IPIP}, enabled=terms.ipip_enabled)
    both = {Encapsulation.VXLAN, Encapsulation.VXLAN6}
    _force(found, {Encapsulation.VXLAN}, both, enabled=terms.vxlan_enabled)
    return frozenset(found)


def _force(
    found: set[Encapsulation],
    at_least: set[Encapsulation],
    all_of_it: set[Encapsulation],
    *,
    enabled: bool | None,
) -> None:
    if enabled is True and not found & all_of_it:
        found |= at_least
    elif enabled is False:
        found -= all_of_it


def _may_be_uplink(link: Link) -> bool:
    return not link.name.startswith(LINK_PREFIX) and link.kind not in TUNNEL_KINDS
