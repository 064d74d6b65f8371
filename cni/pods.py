"""What is known of this node's pods, in memory: an ADD asks nobody when the watch was quicker.

Where the watch is behind, the pod is read from the API server itself. With the API server away pods
that are known still start; one that is not known cannot: it might ask for another network.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from cni.errors import PodGone, TryAgain
from cni.events import Events
from cni.facts import configured, facts_of
from cni.request import Pod as Asked
from cni.request import Request
from felix_py.kube_api.model import KubeObject, Namespace, Pod, Ref, Resource
from felix_py.kube_api.port import KubeApi
from felix_py.kube_api.reflector import KubeChange, ReflectorState
from felix_py.runtime.errors import RefusedError, TransientError

MAX_DIRECT_READS = 8
DIRECT_READ_SECONDS = 2.0
"""At most so many reads at once, so that pods that are known always find a worker while the API server
hangs; who finds no place in this time is told to try again."""

STATIC_POD_UID = "kubernetes.io/config.hash"
"""A static pod's own uid, on the mirror that stands for it in the API under another one."""


class Pods(Protocol):
    """What the service knows of pods."""

    def know(self, request: Request) -> Request:
        """The request with what Kubernetes knows of its pod. Raises CniError, TryAgain, PodGone."""
        ...

    def complain(self, request: Request, error: Exception) -> None:
        """Tell the pod's owner, if it is the pod that asked for something impossible."""
        ...


@dataclass(frozen=True, slots=True)
class NoKubernetes:
    """There is no API server: a pod is what the runtime says of it."""

    def know(self, request: Request) -> Request:
        """The request as it is."""
        return request

    def complain(self, request: Request, error: Exception) -> None:
        """Nobody listens."""


class KnownPods:
    """A Pods on an API server, and a status concern. Reflectors `put`; workers ask."""

    name = "kubernetes"

    def __init__(self, api: KubeApi, events: Events) -> None:
        self._api, self._events = api, events
        self._lock = threading.Lock()
        self._known: dict[Ref, KubeObject] = {}
        self._states: dict[Resource, ReflectorState] = {}
        self._places = threading.BoundedSemaphore(MAX_DIRECT_READS)

    def put(self, key: Ref | Resource, value: KubeChange | ReflectorState) -> None:
        """What a reflector has to say (reflector.KubePut)."""
        with self._lock:
            if isinstance(value, ReflectorState):
                self._states[value.resource] = value
            elif isinstance(key, Ref):
                if value.value is None:
                    self._known.pop(key, None)
                else:
                    self._known[key] = value.value

    def know(self, request: Request) -> Request:
        """The request with the pod's facts and wishes."""
        if request.pod is None:
            return request
        facts = facts_of(self._pod(request.pod), self._namespace(request.pod.namespace))
        if facts.wishes.slips:
            self._events.tell(request.pod, facts.uid, "LimitsIgnored", facts.wishes.slips[0])
        return replace(request, conf=configured(request.conf, facts), facts=facts)

    def complain(self, request: Request, error: Exception) -> None:
        """An event on the pod, written later by the events' own thread."""
        if request.pod is None:
            return
        known = self._known.get(Ref(Resource.PODS, request.pod.name, request.pod.namespace))
        uid = known.meta.uid if known is not None else request.pod.uid
        self._events.complain(request.pod, uid, error)

    def report(self) -> Mapping[str, object]:
        """For the status document."""
        with self._lock:
            counts = [sum(ref.resource is kind for ref in self._known) for kind in _WATCHED]
            states = [self._states.get(kind) for kind in _WATCHED]
        connected = all(state is not None and state.connected for state in states)
        return {"pods": counts[0], "namespaces": counts[1], "connected": connected}

    def warnings(self) -> list[str]:
        """What somebody must act on."""
        with self._lock:
            states = tuple(self._states.values())
        away = next((state for state in states if not state.connected and state.why), None)
        told = "" if away is None else f"API server: {away.why}; pods that are known still start"
        return [*([told] if told else []), *self._events.troubles()]

    def why_not(self) -> str | None:
        """Why this node does not know its pods at all: never listed. Later outages are no reason."""
        with self._lock:
            states = [self._states.get(kind) for kind in _WATCHED]
        for kind, state in zip(_WATCHED, states, strict=True):
            if state is None or not state.in_sync:
                why = "" if state is None or not state.why else f": {state.why}"
                return f"Kubernetes' {kind.value} were not listed yet{why}"
        return None

    def _pod(self, asked: Asked) -> Pod:
        ref = Ref(Resource.PODS, asked.name, asked.namespace)
        known = self._known.get(ref)
        if isinstance(known, Pod) and _is(known, asked):
            return known
        found = self._read(ref)
        if isinstance(found, Pod) and _is(found, asked):
            return found
        raise PodGone(f"{ref} with uid {asked.uid or 'unknown'} is not there any more")

    def _namespace(self, name: str) -> Namespace:
        ref = Ref(Resource.NAMESPACES, name)
        known = self._known.get(ref) or self._read(ref)
        if isinstance(known, Namespace):
            return known
        raise PodGone(f"{ref} is not there any more")

    def _read(self, ref: Ref) -> KubeObject | None:
        with self._place(ref):
            try:
                return self._api.get(ref)
            except (TransientError, RefusedError) as error:
                raise TryAgain(
                    f"{ref} is not known on this node, and the API server cannot be asked: {error}"
                ) from error

    @contextmanager
    def _place(self, ref: Ref) -> Iterator[None]:
        if not self._places.acquire(timeout=DIRECT_READ_SECONDS):
            raise TryAgain(f"{ref}: {MAX_DIRECT_READS} questions wait for the API server already")
        try:
            yield
        finally:
            self._places.release()


_WATCHED = (Resource.PODS, Resource.NAMESPACES)


def _is(pod: Pod, asked: Asked) -> bool:
    """Whether this is the very pod, and not an older or newer one of that name."""
    return asked.uid in ("", pod.meta.uid, pod.meta.annotations.get(STATIC_POD_UID))
