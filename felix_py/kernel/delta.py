"""What we want, what we last saw, and what differs: computed in one place. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

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
    one comparison; after a whole list every key counts again.
    """

    _desired: dict[K, V] = field(default_factory=dict)
    _actual: dict[K, V] = field(default_factory=dict)
    _dirty: set[K] = field(default_factory=set)

    @property
    def desired(self) -> Mapping[K, V]:
        """What we want."""
        return self._desired

    @property
    def actual(self) -> Mapping[K, V]:
        """What we last saw."""
        return self._actual

    def want(self, key: K, value: V | None) -> None:
        """Want this value at this key; None: nothing."""
        if value is None:
            self._desired.pop(key, None)
        else:
            self._desired[key] = value
        self._dirty.add(key)

    def want_exactly(self, values: Mapping[K, V]) -> None:
        """Want these values and nothing else."""
        self._dirty |= self._desired.keys() | values.keys()
        self._desired = dict(values)

    def saw(self, key: K, value: V | None) -> None:
        """This value stands at this key; None: nothing does."""
        if value is None:
            self._actual.pop(key, None)
        else:
            self._actual[key] = value
        if self._desired.get(key) is value:
            self._dirty.discard(key)
        else:
            self._dirty.add(key)

    def saw_exactly(self, values: Mapping[K, V]) -> None:
        """These values stand and nothing else: the result of a whole list."""
        self._actual = dict(values)
        self._dirty = self._desired.keys() | self._actual.keys()

    def plan(self) -> Plan[K, V]:
        """What differs now. Keys that agree are forgotten until something happens to them."""
        upsert: dict[K, V] = {}
        delete: dict[K, V] = {}
        for key in self._dirty:
            wanted, present = self._desired.get(key), self._actual.get(key)
            if wanted is not None:
                if wanted != present:
                    upsert[key] = wanted
            elif present is not None:
                delete[key] = present
        self._dirty = upsert.keys() | delete.keys()
        return Plan(upsert, delete)
