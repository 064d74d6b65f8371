"""When to try again, and who is alive."""

from __future__ import annotations

from felix_py.runtime.clock import FakeClock, SystemClock
from felix_py.runtime.health import Health
from felix_py.runtime.schedule import Backoff, Interval, Retry


def test_a_backoff_doubles_up_to_its_longest_and_starts_over() -> None:
    backoff = Backoff(1, 5)
    assert [backoff.failed() for _ in range(4)] == [1, 2, 4, 5]
    backoff.succeeded()
    assert backoff.failed() == 1
    for _ in range(2000):
        assert backoff.failed() <= 5


def test_an_interval_is_due_at_once_and_then_once_per_period() -> None:
    interval = Interval(10)
    assert interval.wait_seconds(0) == 0
    assert [interval.due(now) for now in (0, 9, 10, 15, 20)] == [True, False, True, False, True]
    assert interval.wait_seconds(25) == 5
    interval.hurry()
    assert interval.due(25)


def test_a_retry_is_due_only_after_a_failure_and_its_backoff() -> None:
    retry = Retry(Backoff(2, 8))
    assert (retry.due(100), retry.wait_seconds(100, 9)) == (False, 9)
    retry.record(100, failed=True)
    assert (retry.due(101), retry.wait_seconds(101, 9), retry.due(102)) == (False, 1, True)
    retry.record(102, failed=True)
    assert not retry.due(105)
    retry.record(106, failed=False)
    assert not retry.due(1000)


def test_a_loop_that_does_not_come_round_is_dead_and_a_missing_thing_is_not_ready() -> None:
    clock = FakeClock()
    health = Health(clock)
    health.beat("loop", 5)
    assert health.report().live
    health.not_ready("etcd", "away")
    report = health.report()
    assert (report.live, report.ready, report.why) == (True, False, {"etcd": "away"})
    health.ready("etcd")
    clock.advance(6)
    report = health.report()
    assert (report.live, report.ready) == (False, False)
    assert "loop" in report.why


def test_clocks_go_forward() -> None:
    clock = FakeClock()
    before = clock.wall()
    clock.advance(2.5)
    assert (clock.now(), (clock.wall() - before).total_seconds()) == (2.5, 2.5)
    system = SystemClock()
    assert system.now() <= system.now()
    assert system.wall().tzinfo is not None
