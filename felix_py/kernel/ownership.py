"""The marks by which a process with an empty memory recognises what is ours (docs/ownership.md).

The route protocol numbers are free in iproute2's rt_protos (checked: 80 and 81 have no entry).
"""

from __future__ import annotations

from dataclasses import dataclass

LINK_PREFIX = "cali"
HOST_MAC = "ee:ee:ee:ee:ee:ee"
ALIAS_MAX_BYTES = 255
TUNNEL_ALIAS = "felix-py tunnel"
"""The alias of a tunnel device that felix keeps: it may be taken down, or away, again."""

IPIP_LINK = "tunl0"
"""The kernel's fallback IPIP device, the one that Calico uses."""
VXLAN_LINKS = {4: "vxlan.calico", 6: "vxlan-v6.calico"}
"""Calico's VXLAN devices by IP version."""

QOS_TABLE = "felix-py-qos"
"""Our nftables table for packet rates, connections and DSCP; its name is the mark."""
QOS_HANDLE = 0xFE800000
"""The handle of our token buckets, `fe80:` as tc writes it."""
QOS_PRIORITY = 0xFE80
"""The priority of our filters for what comes in from pods."""
QOS_LINK_PREFIX = "fpq"
"""ifb links: this and twelve digits of the SHA-1 of the pod's link; its name stands in the alias."""
QOS_ALIAS = "felix-py qos "


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a route belongs to: the number is written into every route, the metric keeps owners apart."""

    name: str
    route_protocol: int
    metric: int


FELIX = Owner("felix", route_protocol=80, metric=1024)
BGP = Owner("bgp", route_protocol=81, metric=1025)

NFT_TABLE = "felix-py"
"""The name of our nftables tables, and the comment of our rules in others' forward chains."""
