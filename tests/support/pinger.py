"""A stream of pings inside a namespace, counted by sequence number."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

REPLY = re.compile(r"icmp_seq=(\d+) .*time=")
SUMMARY = re.compile(r"(\d+) packets transmitted")
STOP_SECONDS = 15


@dataclass(frozen=True)
class Count:
    """What one stream sent and which sequence numbers never came back."""

    what: str
    sent: int
    missing: tuple[int, ...]
    duplicates: int

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.what}: {self.sent} sent, {len(self.missing)} lost {self.missing[:8]}"


class Pinger:
    """`ping` 100 times a second from a namespace to an address until it is stopped.

    enter: the beginning of a command that makes the rest run there, where the namespace has no name.
    """

    def __init__(
        self, netns: str, target: str, *, per_second: int = 100, enter: Sequence[str] = ()
    ) -> None:
        self.what = f"{netns} to {target}"
        there = enter or ("nsenter", f"--net=/run/netns/{netns}", "--")
        # Read through another description than ping writes through: they would share one position.
        self._lines = tempfile.NamedTemporaryFile(mode="w")  # noqa: SIM115
        interval = f"{1 / per_second:.3f}"
        self._process = subprocess.Popen(
            [*there, "ping", "-n", "-i", interval, "-W", "5", target],
            stdout=self._lines,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._lines.close()

    def count_so_far(self) -> int:
        """Replies received until now."""
        return len(REPLY.findall(self._text()))

    def stop(self) -> Count:
        """End the stream with SIGINT, so that ping waits for the last answers' summary."""
        assert self._process.poll() is None, f"{self.what}: ping ended by itself"
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_SECONDS)
        text = self._text()
        summary = SUMMARY.search(text)
        assert summary is not None, text[-400:]
        sent = int(summary.group(1))
        replies = [int(number) for number in REPLY.findall(text)]
        # The very last request may still have been under way when ping was interrupted.
        seen = set(replies)
        missing = tuple(number for number in range(1, sent) if number not in seen)
        return Count(self.what, sent, missing, len(replies) - len(seen))

    def _text(self) -> str:
        return Path(self._lines.name).read_text("utf-8")
