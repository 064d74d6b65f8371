"""Per-pod traffic controls as frozen values. Ingress is towards the pod, egress from it.

Reference: Calico v3.32.1 `libcalico-go/lib/apis/internalapi/workloadendpoint.go` (QoSControls).
"""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_BURST_BITS = 4 << 30
DEFAULT_PACKET_BURST = 5


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """A token bucket. Rates in bits per second, the burst in bits, the smallest burst in bytes."""

    rate: int
    burst: int = DEFAULT_BURST_BITS
    peak_rate: int = 0
    """0: a burst leaves as fast as the link takes it."""
    min_burst: int = 0
    """How much may leave at once at the peak rate; 0: the link's MTU."""


@dataclass(frozen=True, slots=True)
class PacketRate:
    """Packets per second, and how many may come at once."""

    rate: int
    burst: int = DEFAULT_PACKET_BURST


@dataclass(frozen=True, slots=True)
class Direction:
    """What holds in one direction; None: no limit."""

    bandwidth: Bandwidth | None = None
    packets: PacketRate | None = None
    max_connections: int | None = None
    """Open at the same time, begun in this direction."""


@dataclass(frozen=True, slots=True)
class QosControls:
    """What one endpoint is limited to."""

    ingress: Direction = field(default_factory=Direction)
    egress: Direction = field(default_factory=Direction)
    dscp: int | None = None
    """0-63, written on packets that leave for where no pool is."""
