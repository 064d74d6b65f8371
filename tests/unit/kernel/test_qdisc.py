"""Buckets as the kernel tells them are recognised, and only those."""

from __future__ import annotations

from dataclasses import replace

import pytest

from felix_py.kernel.ownership import ALIAS_MAX_BYTES, QOS_ALIAS
from felix_py.kernel.qdisc_dump import matches
from felix_py.kernel.qdisc_model import Bucket, SeenBucket
from felix_py.kernel.traffic_control import queue_link

WANTED = Bucket(rate=1_250_000, burst=125_000, limit=156_250)
SEEN = SeenBucket(1_250_000, 0, 156_250, burst_ticks=1_562_500, min_burst_ticks=0)


def test_a_bucket_that_the_kernel_rounded_is_the_same() -> None:
    assert matches(WANTED, SEEN)
    assert matches(WANTED, replace(SEEN, burst_ticks=1_562_400))


@pytest.mark.parametrize(
    "changed",
    [
        {"rate": 1_250_001},
        {"limit": 1},
        {"peak_rate": 2_000_000},
        {"burst_ticks": 1_500_000},
        {"burst_ticks": 0},
    ],
)
def test_any_other_bucket_is_another(changed: dict[str, int]) -> None:
    assert not matches(WANTED, replace(SEEN, **changed))
    assert not matches(WANTED, None)


def test_a_burst_that_takes_longer_than_32_bits_of_ticks_is_recognised() -> None:
    slow = Bucket(rate=125, burst=2**32 - 1, limit=9000)
    ticks = (2**32 - 1) * 1_000_000_000 // (125 * 64)
    seen = SeenBucket(125, 0, 9000, burst_ticks=ticks % 2**32, min_burst_ticks=0)
    assert matches(slow, seen)


def test_a_queues_name_fits_a_link_and_its_alias_the_pods_link() -> None:
    names = {queue_link(f"cali{number:011d}") for number in range(100)}
    assert len(names) == 100
    assert {len(name) for name in names} == {15}
    assert len(QOS_ALIAS) + 15 < ALIAS_MAX_BYTES
