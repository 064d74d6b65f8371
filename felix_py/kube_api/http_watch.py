"""A watch on a real API server: one thread reads its lines, one reader takes them with a time limit.

Reading with a time limit on the connection itself would break it in the middle of a line.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress

import urllib3

from felix_py.kube_api import wire
from felix_py.kube_api.errors import KubeAway, KubeRefused, VersionGone, WatchEnded
from felix_py.kube_api.model import Resource
from felix_py.kube_api.port import WatchBatch, WatchEvent

MAX_LINES = 1000
"""Lines that wait for the reader. At the bound the connection is read no further, and the server ends
a watch that does not keep up: it is taken up again."""
MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is no object: etcd refuses those over 1.5 MiB."""
CHUNK_BYTES = 65_536


class HttpWatch:
    """A port.Watch on an open answer."""

    def __init__(self, resource: Resource, answer: urllib3.BaseHTTPResponse) -> None:
        self._resource, self._answer = resource, answer
        self._lines: queue.Queue[bytes | Exception] = queue.Queue(MAX_LINES)
        self._closed = threading.Event()
        threading.Thread(target=self._pump, name=f"watch-{resource.value}", daemon=True).start()

    def next(self, timeout_seconds: float) -> WatchBatch | None:
        """What arrived, as one batch; None when nothing came in time."""
        try:
            first = self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        batches = [self._decode(first)]
        while not self._lines.empty() and not isinstance(self._lines.queue[0], Exception):
            batches.append(self._decode(self._lines.get_nowait()))
        events: list[WatchEvent] = [event for batch in batches for event in batch.events]
        return WatchBatch(tuple(events), batches[-1].version)

    def close(self) -> None:
        """End it and its thread; safe to repeat."""
        self._closed.set()
        with suppress(ValueError, OSError, RuntimeError):  # it may have ended by itself
            # The thread may be waiting in recv, and nothing else wakes it.
            self._answer.shutdown()
        with suppress(queue.Empty):
            while True:
                self._lines.get_nowait()
        with suppress(queue.Full):
            self._lines.put_nowait(KubeAway(f"watch {self._resource.value}: closed"))

    def _decode(self, line: bytes | Exception) -> WatchBatch:
        if isinstance(line, Exception):
            raise line
        try:
            return wire.decode_watch_line(self._resource, line)
        except wire.WatchFailed as failed:
            raise _error_of(failed, self._resource) from failed

    def _pump(self) -> None:
        """Cut the stream into lines until it ends, and say how it ended."""
        rest = b""
        end: Exception = WatchEnded(f"watch {self._resource.value}: the server ended it")
        try:
            while chunk := self._answer.read1(CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._hand_over(line)
                if len(rest) > MAX_LINE_BYTES:
                    end = KubeAway(f"watch {self._resource.value}: an endless line")
                    break
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            end = KubeAway(f"watch {self._resource.value}: {error}")
        self._hand_over(end)
        with suppress(urllib3.exceptions.HTTPError, OSError, ValueError):
            self._answer.close()

    def _hand_over(self, line: bytes | Exception) -> None:
        while not self._closed.is_set():
            try:
                if line:
                    self._lines.put(line, timeout=0.2)
            except queue.Full:
                continue
            return


def _error_of(failed: wire.WatchFailed, resource: Resource) -> Exception:
    said = f"watch {resource.value}: {failed.code} {failed}"
    if failed.code == 410:
        return VersionGone(said)
    if failed.code in {408, 429} or failed.code >= 500:
        return KubeAway(said)
    return KubeRefused(f"watch {resource.value}", failed.code, str(failed))
