"""Floating addresses: packets to them are led to a pod's own address by the node where it lives.

Reference: Calico v3.32.1 `libcalico-go/lib/apis/internalapi/workloadendpoint.go` (IPNAT).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address


@dataclass(frozen=True, slots=True)
class FloatingAddress:
    """One of an endpoint's `ipNATs`; both are of one family."""

    internal: IPv4Address | IPv6Address
    external: IPv4Address | IPv6Address
