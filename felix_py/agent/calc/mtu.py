"""Pure: how large a packet may be: on the underlay, in each tunnel, in a pod. Bytes of IP packet.

Source of the overheads, of what counts and of the fallback: Calico's `int_dataplane.go`
(findHostMTU, determinePodMTU).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from felix_py.datastore.felix_configuration import DEFAULT_MTU_PATTERN, FelixConfiguration
from felix_py.datastore.model import EncapMode, IPPool
from felix_py.kernel.model import Link
from felix_py.kernel.ownership import LINK_PREFIX

UNKNOWN_HOST_MTU = 1460
"""What is assumed when no link matches: the smallest of the large clouds' networks."""
LARGEST = 65535
"""What an Ethernet link may have, and so a pod's."""
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
class Mtu:
    """The decision. `tunnels` has every encapsulation, `enabled` says which count for pods."""

    host: int
    host_is_known: bool
    pod: int
    tunnels: Mapping[Encapsulation, int]
    enabled: frozenset[Encapsulation]


def decide(
    links: Iterable[Link], pools: Iterable[IPPool], configuration: FelixConfiguration
) -> Mtu:
    """Every MTU of this node. Pods get the smallest: a packet's way is not known when it is made."""
    found = host_mtu(links, configuration.mtu_interface_pattern)
    host = UNKNOWN_HOST_MTU if found is None else found
    enabled = enabled_encapsulations(pools, configuration)
    tunnels = {
        encapsulation: tunnel_mtu(encapsulation, host, configuration) for encapsulation in OVERHEAD
    }
    pod = min((tunnels[encapsulation] for encapsulation in enabled), default=host)
    return Mtu(host, found is not None, min(pod, host, LARGEST), tunnels, enabled)


def host_mtu(links: Iterable[Link], pattern: str | None) -> int | None:
    """The smallest MTU of the uplinks that are up; None when none matches."""
    matches = re.compile(pattern or DEFAULT_MTU_PATTERN).search
    sizes = [link.mtu for link in links if link.up and _may_be_uplink(link) and matches(link.name)]
    return min(sizes, default=None)


def tunnel_mtu(encapsulation: Encapsulation, host: int, configuration: FelixConfiguration) -> int:
    """The MTU of a tunnel device: as configured, else what is left of the host's."""
    configured = {
        Encapsulation.IPIP: configuration.ipip_mtu,
        Encapsulation.VXLAN: configuration.vxlan_mtu,
        Encapsulation.VXLAN6: configuration.vxlan_mtu_v6,
    }[encapsulation]
    return configured or host - OVERHEAD[encapsulation]


def enabled_encapsulations(
    pools: Iterable[IPPool], configuration: FelixConfiguration
) -> frozenset[Encapsulation]:
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
    _force(found, {Encapsulation.IPIP}, {Encapsulation.IPIP}, enabled=configuration.ipip_enabled)
    both = {Encapsulation.VXLAN, Encapsulation.VXLAN6}
    _force(found, {Encapsulation.VXLAN}, both, enabled=configuration.vxlan_enabled)
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
