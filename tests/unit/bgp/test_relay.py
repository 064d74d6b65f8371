"""The relay's queue: what it keeps, for whom, and what happens when it is full."""

from __future__ import annotations

from bgp.relay import Queue


def test_at_the_mark_everything_is_dropped_and_the_next_agent_is_told() -> None:
    queue = Queue(mark_bytes=100)
    assert queue.attach(1) is False
    for _ in range(10):
        queue.put(b"x" * 10 + b"\n")
    assert not queue.serves(1), "an agent that is too slow is sent away"
    assert queue.take(1, 0.0) == b""
    queue.put(b"after\n")
    assert queue.attach(2) is True
    assert queue.take(2, 0.0) == b"after\n"
    assert queue.attach(3) is False
