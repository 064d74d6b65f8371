"""The port to the Kubernetes API: get, list, watch, and the few writes that we make.

Adapters: http_api.py (a real API server) and memory_api.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from felix_py.kube_api.model import (
    EventNote,
    KubeObject,
    Lease,
    NodeCondition,
    Ref,
    Resource,
)

MAX_MESSAGE_CHARACTERS = 1024
"""The API server refuses an event with a longer message; adapters cut it and end it with `…`."""


def cut(message: str) -> str:
    """An event's message as the API server takes it."""
    if len(message) <= MAX_MESSAGE_CHARACTERS:
        return message
    return message[: MAX_MESSAGE_CHARACTERS - 1] + "…"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects of a kind: of one node's pods, or of one namespace. Empty: all."""

    node: str = ""
    """Pods alone: spec.nodeName is this."""
    namespace: str = ""


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind and scope at one resource version, which a watch may start from."""

    items: tuple[KubeObject, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The object exists and looks like this (added or modified)."""

    value: KubeObject


@dataclass(frozen=True, slots=True)
class Gone:
    """The object was deleted, or left the scope; `last` is how it looked at the end."""

    ref: Ref
    last: KubeObject


WatchEvent = Changed | Gone


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Changes in their order, up to `version`; may be empty (a bookmark: only `version` moved)."""

    events: tuple[WatchEvent, ...]
    version: str


class Watch(Protocol):
    """An open watch. One reader thread."""

    def next(self, timeout_seconds: float) -> WatchBatch | None:
        """The next batch, None when nothing came in time.

        Raises VersionGone when the history is gone (list again); WatchEnded when the server ended it
        and KubeAway when the connection is lost (watch again from the last batch's version).
        """
        ...

    def close(self) -> None:
        """End it; safe to repeat."""
        ...


class KubeApi(Protocol):
    """Every call is bounded in time. Raises KubeAway, KubeRefused; safe to use from several threads."""

    def get(self, ref: Ref) -> KubeObject | None:
        """One object, read from the API server's store itself (not its cache); None when absent."""
        ...

    def list(self, resource: Resource, scope: Scope = EVERYTHING) -> Listing:
        """All objects at one resource version, read in pages from the store itself."""
        ...

    def watch(self, resource: Resource, scope: Scope, after_version: str) -> Watch:
        """Every change after this version. Raises VersionGone, or its first `next` does."""
        ...

    def set_node_condition(self, node: str, condition: NodeCondition) -> bool:
        """Write one condition into the node's status, the others untouched; False: no such node.

        The transition's time is the writer's affair (`changed_at`).
        """
        ...

    def get_lease(self, namespace: str, name: str) -> Lease | None:
        """A lease, None when absent."""
        ...

    def put_lease(self, lease: Lease) -> Lease:
        """Create (version empty) or replace at this very version. Raises KubeConflict."""
        ...

    def note(self, event: EventNote) -> None:
        """Write an event. An object that is gone is fine."""
        ...

    def close(self) -> None:
        """Let go of connections; safe to repeat."""
        ...
