from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from cni.together import Together


def test_those_who_come_meanwhile_share_the_next_call() -> None:
    calls: list[Sequence[int]] = []
    entered, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> None:
        calls.append(items)
        entered.set()
        go_on.wait(5)

    together = Together(work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.do, [0])
        entered.wait(5)
        others = [pool.submit(together.do, [number]) for number in range(1, 8)]
        while len(together._waiting) < 7:
            pass
        go_on.set()
        for one in (first, *others):
            one.result(5)
    assert [sorted(call) for call in calls] == [[0], list(range(1, 8))]


def test_an_error_reaches_everybody_who_shared_the_call() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> None:
        entered.set()
        go_on.wait(5)
        if 0 not in items:
            raise OSError(items)

    together = Together(work)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(together.do, [0])
        entered.wait(5)
        others = [pool.submit(together.do, [number]) for number in (1, 2)]
        while len(together._waiting) < 2:
            pass
        go_on.set()
        first.result(5)
        for one in others:
            with pytest.raises(OSError, match=r"\[[12], [12]\]"):
                one.result(5)
