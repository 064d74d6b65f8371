"""`felixctl plan`: what a change of objects would do to pods, nodes and sessions, before it is written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from felix_py.ctl import rules
from felix_py.ctl.calc.plan_cluster import PLANNED, Changes, Cluster
from felix_py.ctl.calc.plan_effect import Effect, Weight
from felix_py.ctl.calc.plan_effects import effects
from felix_py.ctl.change import Change
from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError
from felix_py.ctl.plan_store import NOTHING_READ, Read, read
from felix_py.ctl.writer import Writer
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Invalid, Kind, PoolName
from felix_py.datastore.store import KeyValue, Store
from felix_py.datastore.values import Value

WITHOUT_PODS = frozenset({Kind.BGP_PEER})
"""Changes of these alone concern no pod: pods, blocks and affinities are not read."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """An object that is to be deleted; before None: it is not there."""

    key: ResourceKey
    title: str
    before: KeyValue | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written or deleted, what that does, and what was looked at."""

    changes: tuple[Change, ...]
    deletions: tuple[Deletion, ...]
    effects: tuple[Effect, ...]
    seen: Read
    others: tuple[str, ...] = ()
    """What is in the files and reaches no further than itself; not looked at."""

    @property
    def loses(self) -> bool:
        """Something that works now would not."""
        return any(effect.weight is Weight.LOSS for effect in self.effects)

    @property
    def gist(self) -> frozenset[tuple[object, ...]]:
        """What was agreed to: every loss as it is, and what else changes without how often, for pods
        come and go while somebody reads."""
        return frozenset(
            (each.text, each.count, each.examples) if each.weight is Weight.LOSS else (each.text,)
            for each in self.effects
            if each.weight is not Weight.NOTE
        )

    @property
    def matters(self) -> bool:
        """There is something that somebody should agree to."""
        return any(effect.weight is not Weight.NOTE for effect in self.effects)


def concerns(documents: Iterable[Document]) -> bool:
    """Some of these do something beyond their own object."""
    return any(document.key.kind in PLANNED for document in documents)


def plan_writes(store: Store, documents: Sequence[Document]) -> Plan:
    """The plan of an apply. Raises CommandError for what apply would refuse."""
    completed = [rules.complete(document) for document in documents]
    _refuse_twice(completed)
    writer = Writer(store)
    changes = tuple(writer.foresee(each) for each in completed if each.key.kind in PLANNED)
    others = tuple(each.title for each in completed if each.key.kind not in PLANNED)
    wanted = {c.key: _value(c.key, c.after) for c in changes if not c.unchanged}
    if not wanted:
        return Plan(changes, (), (), NOTHING_READ, others)
    seen, after = _seen(store, wanted)
    _refuse_overlaps(after, [change.key for change in changes if change.before is None])
    return Plan(changes, (), effects(seen.cluster, after), seen, others)


def plan_change(store: Store, change: Change) -> Plan:
    """The plan of one change of a kind that is planned, foreseen already."""
    seen, after = _seen(store, {change.key: _value(change.key, change.after)})
    return Plan((change,), (), effects(seen.cluster, after), seen)


def plan_deletions(store: Store, wanted: Sequence[tuple[ResourceKey, str]]) -> Plan:
    """The plan of deleting these objects, each with its title."""
    seen = read(store, with_pods=_needs_pods(key for key, _ in wanted))
    deletions = tuple(Deletion(key, title, store.get(key.path)) for key, title in wanted)
    gone = {each.key: None for each in deletions if each.before is not None}
    return Plan((), deletions, effects(seen.cluster, seen.cluster.changed(gone)), seen)


def fields_changed(change: Change) -> list[str]:
    """`spec.ipipMode: "Never" -> "Always"` for every field of a changed object that differs."""
    if change.before is None or change.unchanged:
        return []
    was, now = _flat(change.before.value), _flat(change.after)
    return [
        f"{name}: {_shown(was.get(name))} -> {_shown(now.get(name))}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]


def _seen(store: Store, wanted: Changes) -> tuple[Read, Cluster]:
    """The cluster as it is, and as it would be."""
    seen = read(store, with_pods=_needs_pods(wanted))
    return seen, seen.cluster.changed(wanted)


def _needs_pods(keys: Iterable[ResourceKey]) -> bool:
    return any(key.kind in PLANNED - WITHOUT_PODS for key in keys)


def _refuse_twice(documents: Sequence[Document]) -> None:
    met: set[ResourceKey] = set()
    for document in documents:
        if document.key in met:
            raise CommandError(f"{document.title}: is there twice in what is to be applied")
        met.add(document.key)


def _refuse_overlaps(after: Cluster, created: Iterable[ResourceKey]) -> None:
    """Of two pools of the same files neither is stored yet, so that the writer sees no clash."""
    for key in created:
        pool = after.pools.get(PoolName(key.name)) if key.kind is Kind.IP_POOL else None
        if pool is not None:
            rules.check_room(pool, after.pools.values(), ())


def _value(key: ResourceKey, raw: bytes) -> Value | None:
    value = decode(key, raw)
    return None if isinstance(value, Invalid) else value


def _flat(raw: bytes) -> dict[str, Any]:
    """The parts of an object that users write, one level deep."""
    loaded = json.loads(raw)
    metadata = loaded.get("metadata") or {}
    parts = {
        "spec": loaded.get("spec") or {},
        "metadata.labels": metadata.get("labels") or {},
        "metadata.annotations": metadata.get("annotations") or {},
    }
    return {
        f"{part}.{name}": value for part, found in parts.items() for name, value in found.items()
    }


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
