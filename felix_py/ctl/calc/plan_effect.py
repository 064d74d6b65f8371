"""One line of a plan: what a change does beyond the object that is changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice

MOST_EXAMPLES = 10
"""So many are named; the count says how many there are."""


class Weight(Enum):
    """How much it matters."""

    LOSS = "loss"
    """Something that works now does not afterwards."""
    CHANGE = "change"
    """Something is otherwise afterwards, or disturbed for a moment."""
    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, slots=True)
class Effect:
    """`count` things that `text` says something of; some of them by name."""

    topic: str
    weight: Weight
    count: int
    text: str
    examples: tuple[str, ...] = ()


def effects_of(
    topic: str, weight: Weight, text: str, such: Iterable[str], count: int | None = None
) -> list[Effect]:
    """The effect on all of these; none without any. `count`: where `such` are not all."""
    named = list(such) if count is None else list(islice(such, MOST_EXAMPLES))
    number = len(named) if count is None else count
    if not number:
        return []
    return [Effect(topic, weight, number, text, tuple(named[:MOST_EXAMPLES]))]
