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

    @contextmanager
    def borrowed(self) -> Iterator[NetlinkSocket]:
        yield cast("NetlinkSocket", self)

    def request(self, messages: Sequence[Message]) -> list[Refusal | None]:
        self.started.set()
        assert self.go.wait(WAIT_SECONDS)
        answers: list[Refusal | None] = []
        for message in messages:
            index = IFINFO.unpack_from(message.body)[2]
            self.sent.append((message.kind, index))
            number = self.refuses.get(index)
            answers.append(Refusal(number) if number else None)
        return answers


def test_threads_that_come_while_one_deletes_share_the_next_request() -> None:
    kernel = Kernel()
    reaper = LinkReaper(kernel.borrowed)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(reaper.delete, [1])
        assert kernel.started.wait(WAIT_SECONDS)
        others = [pool.submit(reaper.delete, [index]) for index in range(2, 10)]
        while reaper.gathered < 8:
            threading.Event().wait(0.005)
        kernel.go.set()
        for each in (first, *others):
            each.result(WAIT_SECONDS)
    assert kernel.sent[0] == (DELLINK, 1)
    assert sorted(kernel.sent[1:9]) == [(SETLINK, index) for index in range(2, 10)]
    assert kernel.sent[9:] == [(DELLINK, 0)]


def test_absent_links_are_fine_and_a_refusal_concerns_its_own_link() -> None:
    kernel = Kernel({1: errno.ENODEV, 2: errno.EPERM, 0: errno.EOPNOTSUPP})
    kernel.go.set()
    reaper = LinkReaper(kernel.borrowed)
    reaper.delete([])
    reaper.delete([1])
    with pytest.raises(KernelRefused) as refused:
        reaper.delete([1, 2, 3])
    assert refused.value.errno == errno.EPERM
    assert (DELLINK, 3) in kernel.sent
