"""Frozen values of traffic control: token buckets as wanted, and what the kernel says of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: bytes and bytes per second. `limit`: how much may wait for tokens.

    peak_rate 0: bursts leave at the link's speed. min_burst: how much may leave at once at the peak
    rate. A burst shorter than a packet would stop the link, so the link's MTU is the least.
    """

    rate: int
    burst: int
    limit: int
    peak_rate: int = 0
    min_burst: int = 0


@dataclass(frozen=True, slots=True)
class Shaping:
    """What passes a pod's link: ingress towards the pod, egress from it. None: as it comes."""

    ingress: Bucket | None = None
    egress: Bucket | None = None


@dataclass(frozen=True, slots=True)
class SeenBucket:
    """A token bucket as the kernel tells it. Times in its ticks of 64 ns, cut to 32 bits."""

    rate: int
    peak_rate: int
    limit: int
    burst_ticks: int
    min_burst_ticks: int


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A queueing discipline of a link, at its root or (`ingress`, `clsact`) where packets come in."""

    ifindex: int
    kind: str
    handle: int
    parent: int
    bucket: SeenBucket | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter where packets come in: its priority, and the link it redirects to, if it does."""

    priority: int
    kind: str
    target: int | None
