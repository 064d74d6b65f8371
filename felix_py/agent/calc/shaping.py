"""Pure: an endpoint's bandwidth controls as token buckets for its link."""

from __future__ import annotations

from felix_py.datastore.qos import Bandwidth, Direction, QosControls
from felix_py.kernel.qdisc_model import Bucket, Shaping

LATENCY_SECONDS = 0.025
"""How long a packet may wait for tokens, beside what a burst may hold up (as the CNI bandwidth plugin)."""
LEAST_QUEUE_BYTES = 100_000
"""Below this a slow link drops what one TCP window sends at once."""
LONGEST_BURST_QUEUE_SECONDS = 1
"""Calico's default burst is 512 MiB; a queue as long as that would hold packets for minutes."""
U32_MAX = 2**32 - 1


def shaping_of(controls: QosControls) -> Shaping:
    """Both directions."""
    return Shaping(_bucket(controls.ingress), _bucket(controls.egress))


def _bucket(direction: Direction) -> Bucket | None:
    return None if direction.bandwidth is None else bucket_of(direction.bandwidth)


def bucket_of(bandwidth: Bandwidth) -> Bucket:
    """Bits to bytes; the queue holds what may wait."""
    rate, burst = bandwidth.rate // 8, min(bandwidth.burst // 8, U32_MAX)
    held_up = min(burst, rate * LONGEST_BURST_QUEUE_SECONDS)
    queue = max(LEAST_QUEUE_BYTES, int(rate * LATENCY_SECONDS) + held_up)
    return Bucket(
        rate=rate,
        burst=burst,
        limit=min(queue, U32_MAX),
        peak_rate=bandwidth.peak_rate // 8,
        min_burst=bandwidth.min_burst,
    )
