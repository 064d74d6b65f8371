"""Queueing disciplines and filters as the kernel tells them: message bytes to values. Pure."""

from __future__ import annotations

import struct

from felix_py.kernel.netlink_format import attributes, c_string
from felix_py.kernel.qdisc_batch import (
    ACT_KIND,
    ACT_OPTIONS,
    MIRRED,
    MIRRED_PARMS,
    RATESPEC,
    TBF,
    TBF_PARMS,
    TBF_PRATE64,
    TBF_RATE64,
    TCA_KIND,
    TCA_OPTIONS,
    TCMSG,
    U32_ACT,
)
from felix_py.kernel.qdisc_model import Bucket, Filter, Qdisc, SeenBucket

BODY = 16
"""Length of a netlink header: where the body starts."""
TICK_NANOSECONDS = 64
NEARLY = 0.01
"""How far a burst that the kernel tells as a time may be from what we reckon: it rounds."""
WRAP = 2**32


def read_qdisc(data: bytes, start: int, end: int) -> Qdisc:
    """The qdisc of one message."""
    _, _, ifindex, handle, parent, _ = TCMSG.unpack_from(data, start + BODY)
    found = dict(attributes(data[start:end], BODY + TCMSG.size))
    kind = c_string(found.get(TCA_KIND, b""))
    bucket = _bucket(found.get(TCA_OPTIONS, b"")) if kind == "tbf" else None
    return Qdisc(ifindex, kind, handle, parent, bucket)


def read_filter(data: bytes, start: int, end: int) -> Filter:
    """The filter of one message; u32 tells its hash table too, as one without a target."""
    _, _, _, _, _, info = TCMSG.unpack_from(data, start + BODY)
    found = dict(attributes(data[start:end], BODY + TCMSG.size))
    kind = c_string(found.get(TCA_KIND, b""))
    target = _target(found.get(TCA_OPTIONS, b"")) if kind == "u32" else None
    return Filter(info >> 16, kind, target)


def matches(bucket: Bucket, seen: SeenBucket | None) -> bool:
    """Whether what stands is what is wanted."""
    return (
        seen is not None
        and (seen.rate, seen.peak_rate, seen.limit) == (bucket.rate, bucket.peak_rate, bucket.limit)
        and _about(bucket.burst, bucket.rate, seen.burst_ticks)
        and (
            not bucket.peak_rate or _about(bucket.min_burst, bucket.peak_rate, seen.min_burst_ticks)
        )
    )


def _bucket(options: bytes) -> SeenBucket | None:
    found = dict(attributes(options, 0))
    parms = found.get(TBF_PARMS, b"")
    if len(parms) < 2 * RATESPEC.size + TBF.size:
        return None
    rate = RATESPEC.unpack_from(parms, 0)[-1]
    peak = RATESPEC.unpack_from(parms, RATESPEC.size)[-1]
    limit, burst, least = TBF.unpack_from(parms, 2 * RATESPEC.size)
    return SeenBucket(
        rate=_long(found.get(TBF_RATE64), rate),
        peak_rate=_long(found.get(TBF_PRATE64), peak),
        limit=limit,
        burst_ticks=burst,
        min_burst_ticks=least,
    )


def _target(options: bytes) -> int | None:
    actions = dict(attributes(dict(attributes(options, 0)).get(U32_ACT, b""), 0))
    for action in actions.values():
        parts = dict(attributes(action, 0))
        if c_string(parts.get(ACT_KIND, b"")) != "mirred":
            continue
        parms = dict(attributes(parts.get(ACT_OPTIONS, b""), 0)).get(MIRRED_PARMS, b"")
        if len(parms) >= MIRRED.size:
            return int(MIRRED.unpack_from(parms, 0)[-1])
    return None


def _long(packed: bytes | None, otherwise: int) -> int:
    return struct.unpack("=Q", packed)[0] if packed and len(packed) == 8 else otherwise


def _about(size: int, rate: int, ticks: int) -> bool:
    """Whether this many bytes take about so long at this rate; the kernel cuts the time to 32 bits."""
    expected = size * 1_000_000_000 // (rate * TICK_NANOSECONDS)
    apart = (expected - ticks) % WRAP
    return min(apart, WRAP - apart) <= max(4, expected * NEARLY)
