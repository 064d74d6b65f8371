"""Links deleted at the same time share one request, and each thread hears of its own links only."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from felix_py.kernel import link_reaper
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.link_reaper import LinkReaper
from felix_py.kernel.netlink_format import DELLINK, IFINFO, SETLINK, Message
from felix_py.kernel.netlink_wire import NetlinkSocket, Refusal

WAIT_SECONDS = 10


@dataclass
class Kernel:
    """Plays the kernel for DELLINK and SETLINK; the first request waits for `go`."""

    refuses: dict[int, int] = field(default_factory=dict)
    sent: list[tuple[int, int]] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    asked: list[int] = field(default_factory=list)
    """How many messages each request had."""
    gone: set[int] = field(default_factory=set)

    def is_there(self, index: int) -> bool:
        return index not in self.gone

    @contextmanager
    def borrowed(self) -> Iterator[NetlinkSocket]:
        yield cast("NetlinkSocket", self)

    def request(self, messages: Sequence[Message]) -> list[Refusal | None]:
        self.asked.append(len(messages))
        self.started.set()
        assert self.go.wait(WAIT_SECONDS)
        answers: list[Refusal | None] = []
        for message in messages:
            index = IFINFO.unpack_from(message.body)[2]
            self.sent.append((message.kind, index))
            number = self.refuses.get(index)
            answers.append(Refusal(number) if number else None)
        return answers


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_reaper, "ROUNDS_AT_ONCE", 1)


@pytest.mark.usefixtures("one_at_a_time")
def test_threads_that_come_while_one_deletes_share_the_next_request() -> None:
    kernel = Kernel()
    reaper = LinkReaper(kernel.borrowed, kernel.is_there)
    with ThreadPoolExecutor(9) as pool:
        first = [pool.submit(reaper.delete, [1])]
        assert kernel.started.wait(WAIT_SECONDS)
        others = [pool.submit(reaper.delete, [index]) for index in range(2, 10)]
        while reaper.gathered < 8:
            threading.Event().wait(0.005)
        kernel.go.set()
        for each in (*first, *others):
            each.result(WAIT_SECONDS)
    assert kernel.sent[0] == (DELLINK, 1)
    assert sorted(kernel.sent[1:9]) == [(SETLINK, index) for index in range(2, 10)]
    assert kernel.sent[9:] == [(DELLINK, 0)]


def test_absent_links_are_fine_and_a_refusal_concerns_its_own_link() -> None:
    kernel = Kernel({1: errno.ENODEV, 2: errno.EPERM, 0: errno.EOPNOTSUPP})
    kernel.go.set()
    reaper = LinkReaper(kernel.borrowed, kernel.is_there)
    reaper.delete([])
    reaper.delete([1])
    with pytest.raises(KernelRefused) as refused:
        reaper.delete([1, 2, 3])
    assert refused.value.errno == errno.EPERM
    assert (DELLINK, 3) in kernel.sent


def test_whoever_asked_goes_on_when_his_links_are_gone_not_when_the_kernel_has_tidied_up() -> None:
    kernel = Kernel()
    reaper = LinkReaper(kernel.borrowed, kernel.is_there)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(reaper.delete, [1, 2])
        assert kernel.started.wait(WAIT_SECONDS)
        kernel.gone.add(1)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        kernel.gone.add(2)
        waiting.result(WAIT_SECONDS)
        assert not kernel.go.is_set(), "the request is still under way"
        kernel.go.set()


@pytest.mark.usefixtures("one_at_a_time")
def test_a_turn_that_never_comes_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_reaper, "MAX_WAIT_SECONDS", 0.05)
    kernel = Kernel()
    reaper = LinkReaper(kernel.borrowed, kernel.is_there)
    for index in (1, 2):
        with pytest.raises(KernelRefused) as refused:
            reaper.delete([index])
        assert refused.value.errno == errno.ETIMEDOUT
    assert reaper.gathered == 0
    kernel.go.set()
    while not kernel.sent:
        threading.Event().wait(0.005)
    kernel.gone.add(3)
    reaper.delete([3])


def test_requests_run_side_by_side_up_to_the_bound() -> None:
    kernel = Kernel()
    reaper = LinkReaper(kernel.borrowed, kernel.is_there)
    count = link_reaper.ROUNDS_AT_ONCE
    with ThreadPoolExecutor(count + 3) as pool:
        alone = []
        for index in range(count):
            alone.append(pool.submit(reaper.delete, [index + 1]))
            while len(kernel.asked) <= index:
                threading.Event().wait(0.005)
        others = [pool.submit(reaper.delete, [100 + index]) for index in range(3)]
        while reaper.gathered < 3:
            threading.Event().wait(0.005)
        kernel.go.set()
        for each in (*alone, *others):
            each.result(WAIT_SECONDS)
    assert sorted(kernel.asked[:count]) == [1] * count
    assert kernel.asked[count:] == [3, 1, 0], "marked, deleted as a group, nothing left"
