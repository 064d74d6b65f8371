"""Events on pods, written by a thread of their own: an ADD only leaves a note, and never waits."""

from __future__ import annotations

import threading
from collections import OrderedDict

import structlog

from cni.errors import BadAnnotation, UnsupportedField
from cni.request import Pod
from felix_py.kube_api.model import EventNote, Ref, Resource
from felix_py.kube_api.port import KubeApi
from felix_py.runtime.clock import Clock
from felix_py.runtime.errors import RefusedError, TransientError
from felix_py.runtime.schedule import Backoff
from ipam.errors import (
    AddressTaken,
    BadRequest,
    BlockLimitReached,
    NoQualifiedPool,
    NotInPool,
    NotYours,
    PoolExhausted,
)

log = structlog.get_logger(__name__)

COMPONENT = "felix-py-cni"
OWNERS = (
    *(BadAnnotation, UnsupportedField, BadRequest, AddressTaken, NotInPool, NotYours),
    *(NoQualifiedPool, PoolExhausted, BlockLimitReached),
)
"""Errors that a pod's owner or a pool's can do something about; their names are the events' reasons."""

MAX_WAITING = 256
"""Notes that wait; further ones are dropped and counted. Kubelet tells of the failure in any case."""
AGAIN_SECONDS = 60.0
"""The same is said again after so long: a kubelet repeats an ADD every few seconds."""
MAX_SAID = 1024
ATTEMPTS = 5
"""Then the note is dropped."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 8.0
IDLE_SECONDS = 1.0


class Events:
    """Workers `tell` and `complain`; `run` writes."""

    def __init__(self, api: KubeApi, clock: Clock) -> None:
        self._api, self._clock = api, clock
        self._ready = threading.Condition()
        self._waiting: OrderedDict[EventNote, None] = OrderedDict()
        self._said: OrderedDict[EventNote, float] = OrderedDict()
        self._trouble = ""
        self.dropped = 0

    def complain(self, pod: Pod, uid: str, error: Exception) -> None:
        """Tell of an error if the pod's owner can do something about it."""
        if isinstance(error, OWNERS):
            self.tell(pod, uid, type(error).__name__, str(error))

    def tell(self, pod: Pod, uid: str, reason: str, message: str) -> None:
        """Leave a note, unless the same was said within the last minute."""
        about = Ref(Resource.PODS, pod.name, pod.namespace)
        note = EventNote(about, uid, reason, message, COMPONENT)
        now = self._clock.now()
        with self._ready:
            said_at = self._said.get(note)
            if said_at is not None and now - said_at < AGAIN_SECONDS:
                return
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
                return
            self._said[note] = now
            self._said.move_to_end(note)
            while len(self._said) > MAX_SAID:
                self._said.popitem(last=False)
            self._waiting[note] = None
            self._ready.notify()

    def troubles(self) -> list[str]:
        """Why events cannot be written, for the status."""
        return [f"events on pods: {self._trouble}"] if self._trouble else []

    def run(self, stop: threading.Event) -> None:
        """Write what waits, until asked to stop."""
        while not stop.is_set():
            note = self._next()
            if note is not None:
                self._write(note, stop)

    def _next(self) -> EventNote | None:
        with self._ready:
            self._ready.wait_for(lambda: self._waiting, IDLE_SECONDS)
            return self._waiting.popitem(last=False)[0] if self._waiting else None

    def _write(self, note: EventNote, stop: threading.Event) -> None:
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        for _ in range(ATTEMPTS):
            try:
                self._api.note(note)
            except TransientError as error:
                self._trouble = str(error)
                if stop.wait(backoff.failed()):
                    return
            except RefusedError as error:
                self._trouble = str(error)
                log.warning("event refused", about=str(note.about), why=str(error))
                return
            else:
                self._trouble = ""
                return
        self.dropped += 1
