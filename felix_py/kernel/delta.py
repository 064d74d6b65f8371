"""What we want, what we last saw, and what differs: computed in one place. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Plan(Generic[K, V]):
    """What to write and what to remove; the upserts go first (make before break)."""

    upsert: Mapping[K, V]
    delete: Mapping[K, V]

    def __bool__(self) -> bool:
        return bool(self.upsert or self.delete)


@dataclass(slots=True)
class DeltaTracker(Generic[K, V]):
    """Remembers what we want and what we last saw; says what differs.

    Only keys that something happened to are compared, so that one change among 100,000 keys costs
    one comparison; after a whole list every key counts again. They are planned in the order in
    which it happened: neighbours stay neighbours, in our memory and in the kernel's.
    """

    _desired: dict[K, V] = field(default_factory=dict)
    _actual: dict[K, V] = field(default_factory=dict)
    _dirty: dict[K, None] = field(default_factory=dict)

    @property
    def desired(self) -> Mapping[K, V]:
        """What we want."""
        return self._desired

    @property
    def actual(self) -> Mapping[K, V]:
        """What we last saw."""
        return self._actual

    def want(self, changes: Mapping[K, V | None]) -> None:
        """Want these values at these keys; None: nothing."""
        if None not in changes.values():
            self._desired.update(cast("Mapping[K, V]", changes))
        else:
            for key, value in changes.items():
                if value is None:
                    self._desired.pop(key, None)
                else:
                    self._desired[key] = value
        self._dirty.update(dict.fromkeys(changes))

    def want_exactly(self, values: Mapping[K, V]) -> None:
        """Want these values and nothing else."""
        self._dirty.update(dict.fromkeys([*self._desired, *values]))
        self._desired = dict(values)

    def saw(self, key: K, value: V | None) -> None:
        """This value stands at this key; None: nothing does."""
        if value is None:
            self._actual.pop(key, None)
        else:
            self._actual[key] = value
        if self._desired.get(key) is value:
            self._dirty.pop(key, None)
        else:
            self._dirty[key] = None

    def saw_exactly(self, values: Mapping[K, V]) -> None:
        """These values stand and nothing else: the result of a whole list."""
        self._actual = dict(values)
        self._dirty = dict.fromkeys([*self._desired, *self._actual])

    def plan(self) -> Plan[K, V]:
        """What differs now. Keys that agree are forgotten until something happens to them."""
        upsert: dict[K, V] = {}
        delete: dict[K, V] = {}
        desired, actual = self._desired.get, self._actual.get
        for key in self._dirty:
            wanted, present = desired(key), actual(key)
            if wanted is not None:
                if wanted != present:
                    upsert[key] = wanted
            elif present is not None:
                delete[key] = present
        if len(upsert) + len(delete) != len(self._dirty):
            self._dirty = dict.fromkeys([*upsert, *delete])
        return Plan(upsert, delete)

    def carried_out(self, plan: Plan[K, V]) -> None:
        """All of the newest plan was done; nothing was wanted or seen since it was made."""
        self._actual.update(plan.upsert)
        for key in plan.delete:
            self._actual.pop(key, None)
        self._dirty.clear()
