"""How facts travel between threads: latest per key, or in order and bounded."""

from __future__ import annotations

import threading
import time

from felix_py.runtime.mailbox import Mailbox
from felix_py.runtime.stream import Stream


def test_a_mailbox_keeps_the_latest_value_in_the_order_of_the_keys() -> None:
    box: Mailbox[str, int] = Mailbox()
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        box.put(key, value)
    assert list(box.take_all(0).items()) == [("a", 3), ("b", 2)]
    assert box.take_all(0) == {}


def test_a_waiting_reader_is_woken_by_a_value_and_by_wake() -> None:
    box: Mailbox[str, int] = Mailbox()
    for act in (lambda: box.put("a", 1), box.wake):
        timer = threading.Timer(0.05, act)
        timer.start()
        started = time.monotonic()
        box.take_all(5)
        assert time.monotonic() - started < 2
        timer.join()


def test_wake_before_the_wait_is_not_lost() -> None:
    box: Mailbox[str, int] = Mailbox()
    box.wake()
    started = time.monotonic()
    assert box.take_all(5) == {}
    assert time.monotonic() - started < 1


def test_a_stream_keeps_its_order() -> None:
    stream: Stream[int] = Stream(10)
    for item in (1, 2, 1):
        stream.put(item)
    assert stream.take_all(0) == ([1, 2, 1], False)
    assert stream.take_all(0) == ([], False)


def test_a_full_stream_drops_everything_and_says_so_once() -> None:
    stream: Stream[int] = Stream(2)
    for item in (1, 2, 3):
        stream.put(item)
    assert stream.take_all(0) == ([3], True)
    assert stream.take_all(0) == ([], False)
