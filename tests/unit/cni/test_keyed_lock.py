from __future__ import annotations

import threading

import pytest

from cni.errors import TryAgain
from cni.keyed_lock import KeyedLock


def test_a_held_key_is_waited_for_and_others_are_not() -> None:
    locks = KeyedLock(0.05)
    held, release = threading.Event(), threading.Event()

    def holder() -> None:
        with locks.hold("a", "b"):
            held.set()
            release.wait(5)

    thread = threading.Thread(target=holder)
    thread.start()
    held.wait(5)
    with locks.hold("c"):
        pass
    with pytest.raises(TryAgain), locks.hold("c", "a"):
        pass
    with locks.hold("c"):
        pass
    release.set()
    thread.join()
    with locks.hold("a", "b", "c"):
        pass
    assert locks._locks == {}


def test_holders_of_overlapping_keys_never_wait_for_each_other() -> None:
    locks = KeyedLock(5)
    rounds: list[int] = []

    def work(*keys: str) -> None:
        for number in range(200):
            with locks.hold(*keys):
                rounds.append(number)

    threads = [
        threading.Thread(target=work, args=keys) for keys in (("a", "b"), ("b", "a"), ("b", "c"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rounds) == 600
    assert locks._locks == {}
