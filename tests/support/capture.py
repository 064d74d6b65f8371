"""tcpdump on one link of a namespace: what was really seen there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from tests.support import netns

PACKET = re.compile(r"\d\d:\d\d:\d\d\.\d+ ")
START_SECONDS = 15.0
SETTLE_SECONDS = 0.3
"""How long a packet that is not there may still be under way."""


class Capture:
    """A context manager that is ready when entered: `lines` are the packets until now.

    direction: `in`, `out` or `inout`, as the link's own namespace sees it.
    """

    def __init__(
        self, namespace: str, link: str, expression: str, *, direction: str = "inout"
    ) -> None:
        self._lines = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115
        self._errors = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115
        options = ["-l", "-n", "-e", "-p", "--immediate-mode", "-Q", direction, "-i", link]
        self._process = subprocess.Popen(
            netns.command(namespace, "tcpdump", *options, expression),
            stdin=subprocess.DEVNULL,
            stdout=self._lines,
            stderr=self._errors,
        )

    def __enter__(self) -> Self:
        self._until(lambda: "listening on" in self._read(self._errors))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(START_SECONDS)
        self._lines.close()
        self._errors.close()

    @property
    def lines(self) -> list[str]:
        """One line per packet seen until now, without the lines on what is inside a tunnel's."""
        return [line for line in self._read(self._lines).splitlines() if PACKET.match(line)]

    @property
    def whole(self) -> list[str]:
        """One line per packet seen until now, with what is inside a tunnel's at its end."""
        found: list[str] = []
        for line in self._read(self._lines).splitlines():
            if PACKET.match(line) or not found:
                found.append(line)
            else:
                found[-1] += f" {line.strip()}"
        return found

    def counted(self, expected: int) -> int:
        """How many packets were seen once there are as many as expected, or after a while."""
        until = time.monotonic() + (2.0 if expected else 0.0)
        while len(self.lines) < expected and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(SETTLE_SECONDS)
        return len(self.lines)

    def _read(self, file: TextIO) -> str:
        """All of it; tcpdump writes where the file's position is, so that must not move."""
        number = file.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode("utf-8", "replace")

    def _until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + START_SECONDS
        while not holds():
            assert self._process.poll() is None, self._read(self._errors)
            assert time.monotonic() < until, "tcpdump did not start"
            time.sleep(0.02)
