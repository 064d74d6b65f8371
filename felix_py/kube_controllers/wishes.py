"""What a decision wants of etcd: each says on which stored value it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from felix_py.datastore.keys import ResourceKey


@dataclass(frozen=True, slots=True)
class Create:
    """A resource that is not there; it gets its uid and time when it is written."""

    key: ResourceKey
    spec: Mapping[str, object]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Replace:
    """New text for a resource that stands at this revision."""

    key: ResourceKey
    mod_revision: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Remove:
    """A resource that stands at this revision and must go."""

    key: ResourceKey
    mod_revision: int


Wish = Create | Replace | Remove
