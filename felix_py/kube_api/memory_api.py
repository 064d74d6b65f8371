"""The port in memory: behaves like an API server as far as the port shows it, and fails when told to.

The same contract tests run on this and on the real adapter. `put`, `delete` and the rest below the
port's own methods are for tests: another client's writes, past all faults.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Collection
from dataclasses import dataclass, replace

from felix_py.kube_api.errors import KubeAway, KubeConflict, KubeRefused, VersionGone, WatchEnded
from felix_py.kube_api.model import (
    EventNote,
    KubeNode,
    KubeObject,
    Lease,
    NodeCondition,
    Pod,
    Ref,
    Resource,
    ref_of,
)
from felix_py.kube_api.port import (
    EVERYTHING,
    Changed,
    Gone,
    Listing,
    Scope,
    WatchBatch,
    WatchEvent,
    cut,
)


@dataclass(slots=True)
class Faults:
    """Switches; a count is used up by one call each."""

    away: bool = False
    """Every call raises KubeAway and open watches break."""
    refuse: str = ""
    """Every call raises KubeRefused (403) with this text."""
    half_lists: bool = False
    """Lists lack every second object and say nothing of it."""
    hidden: Collection[Ref] = ()
    """Lists lack these objects."""
    silent_watches: bool = False
    """Watches deliver nothing, and do not break either: the watch is behind."""
    lose_response: int = 0
    """So many writes are done and then raise KubeAway."""
    delay: float = 0.0
    """Seconds that every call takes."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One change in the history: how the object looked before and after."""

    version: int
    before: KubeObject | None
    after: KubeObject | None


class MemoryKubeApi:
    """A port.KubeApi."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.events: list[EventNote] = []
        self._ready = threading.Condition()
        self._objects: dict[Ref, KubeObject] = {}
        self._leases: dict[tuple[str, str], Lease] = {}
        self._history: list[_Step] = []
        self._version = 1
        self._compacted = 0
        self._epoch = 0
        self._cut: Exception = KubeAway("the watch was cut")
        self._closed = False

    def get(self, ref: Ref) -> KubeObject | None:
        """One object, None when absent."""
        self._arrive()
        with self._ready:
            return self._objects.get(ref)

    def list(self, resource: Resource, scope: Scope = EVERYTHING) -> Listing:
        """All objects of the kind and scope, less what the faults hide."""
        self._arrive()
        with self._ready:
            found = [
                value
                for ref, value in sorted(self._objects.items())
                if _within(value, resource, scope) and ref not in self.faults.hidden
            ]
            if self.faults.half_lists:
                found = found[::2]
            return Listing(tuple(found), str(self._version))

    def watch(self, resource: Resource, scope: Scope, after_version: str) -> MemoryWatch:
        """Every change after this version; the first `next` raises VersionGone when it is gone."""
        self._arrive()
        return MemoryWatch(self, resource, scope, int(after_version))

    def set_node_condition(self, node: str, condition: NodeCondition) -> bool:
        """Write one condition into the node's status."""
        self._arrive()
        with self._ready:
            stored = self._objects.get(Ref(Resource.NODES, node))
            if not isinstance(stored, KubeNode):
                return False
            others = tuple(each for each in stored.conditions if each.type != condition.type)
            self.put(replace(stored, conditions=(*others, condition)))
        self._answer()
        return True

    def get_lease(self, namespace: str, name: str) -> Lease | None:
        """A lease, None when absent."""
        self._arrive()
        with self._ready:
            return self._leases.get((namespace, name))

    def put_lease(self, lease: Lease) -> Lease:
        """Create or replace at this very version. Raises KubeConflict."""
        self._arrive()
        with self._ready:
            key = (lease.namespace, lease.name)
            stored = self._leases.get(key)
            if (stored.version if stored else "") != lease.version:
                raise KubeConflict(f"lease {lease.name} was changed by somebody else")
            self._version += 1
            written = self._leases[key] = replace(lease, version=str(self._version))
        self._answer()
        return written

    def note(self, event: EventNote) -> None:
        """Keep the event in `events`."""
        self._arrive()
        with self._ready:
            self.events.append(replace(event, message=cut(event.message)))
        self._answer()

    def close(self) -> None:
        """Break open watches; later calls raise KubeAway."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def put(self, value: KubeObject) -> KubeObject:
        """Create or replace an object: as stored, with a version and a uid."""
        with self._ready:
            ref = ref_of(value)
            before = self._objects.get(ref)
            self._version += 1
            uid = value.meta.uid or (before.meta.uid if before else f"uid-{self._version}")
            meta = replace(value.meta, uid=uid, version=str(self._version))
            stored: KubeObject = replace(value, meta=meta)
            self._objects[ref] = stored
            self._note(before, stored)
            return stored

    def delete(self, ref: Ref) -> None:
        """Delete an object; absent is fine."""
        with self._ready:
            before = self._objects.pop(ref, None)
            if before is not None:
                self._version += 1
                self._note(before, None)

    def delete_lease(self, namespace: str, name: str) -> None:
        """Delete a lease; absent is fine."""
        with self._ready:
            self._leases.pop((namespace, name), None)

    def compact(self) -> None:
        """Forget the history: every watch from before is told VersionGone."""
        with self._ready:
            self._version += 1
            self._compacted = self._version
            self._history.clear()
            self._ready.notify_all()

    def break_watches(self, *, orderly: bool = False) -> None:
        """Cut every open watch, as a restarted API server does; or end it as one does now and then."""
        with self._ready:
            self._epoch += 1
            self._cut = WatchEnded("its time is over") if orderly else KubeAway("the watch was cut")
            self._ready.notify_all()

    def _note(self, before: KubeObject | None, after: KubeObject | None) -> None:
        self._history.append(_Step(self._version, before, after))
        self._ready.notify_all()

    def _arrive(self) -> None:
        faults = self.faults
        if faults.delay:
            threading.Event().wait(faults.delay)
        if faults.away or self._closed:
            raise KubeAway("no connection to the API server")
        if faults.refuse:
            raise KubeRefused("request", 403, faults.refuse)

    def _answer(self) -> None:
        if self.faults.lose_response:
            self.faults.lose_response -= 1
            raise KubeAway("the answer was lost")


class MemoryWatch:
    """A port.Watch on a MemoryKubeApi."""

    def __init__(self, api: MemoryKubeApi, resource: Resource, scope: Scope, after: int) -> None:
        self._api, self._resource, self._scope, self._after = api, resource, scope, after
        self._epoch = api._epoch  # noqa: SLF001  a watch is a part of its API server
        self._open = True

    def next(self, timeout_seconds: float) -> WatchBatch | None:
        """The next batch, None when nothing came in time."""
        api = self._api
        with api._ready:  # noqa: SLF001
            api._ready.wait_for(self._something, timeout_seconds)  # noqa: SLF001
            if self._broken():
                raise KubeAway("the watch was cut") if api.faults.away else api._cut  # noqa: SLF001
            if self._after < api._compacted:  # noqa: SLF001
                raise VersionGone(f"version {self._after} is too old; list again")
            if api.faults.silent_watches or self._after >= api._version:  # noqa: SLF001
                return None
            events = tuple(self._events())
            self._after = api._version  # noqa: SLF001
            return WatchBatch(events, str(self._after))

    def close(self) -> None:
        """End it; safe to repeat."""
        with self._api._ready:  # noqa: SLF001
            self._open = False
            self._api._ready.notify_all()  # noqa: SLF001

    def _events(self) -> builtins.list[WatchEvent]:
        events: builtins.list[WatchEvent] = []
        for step in self._api._history:  # noqa: SLF001
            if step.version <= self._after:
                continue
            was = step.before is not None and _within(step.before, self._resource, self._scope)
            if step.after is not None and _within(step.after, self._resource, self._scope):
                events.append(Changed(step.after))
            elif was and step.before is not None:
                events.append(Gone(ref_of(step.before), step.after or step.before))
        return events

    def _broken(self) -> bool:
        api = self._api
        return (
            not self._open
            or api.faults.away
            or api._closed  # noqa: SLF001
            or api._epoch != self._epoch  # noqa: SLF001
        )

    def _something(self) -> bool:
        api = self._api
        waiting = not api.faults.silent_watches and self._after < api._version  # noqa: SLF001
        return self._broken() or self._after < api._compacted or waiting  # noqa: SLF001


def _within(value: KubeObject, resource: Resource, scope: Scope) -> bool:
    if ref_of(value).resource is not resource:
        return False
    if scope.namespace and value.meta.namespace != scope.namespace:
        return False
    return not scope.node or (isinstance(value, Pod) and value.node == scope.node)
