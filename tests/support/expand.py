"""One story told several ways: the last chapter must always end the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def expand(
    states: Sequence[Mapping[K, V]],
) -> Iterator[tuple[str, Sequence[Mapping[K, V]]]]:
    """(how it is told, the states in order). The empty state stands for a restart's blank wishes."""
    empty: Mapping[K, V] = {}
    yield "as written", states
    yield "keys reversed", [dict(reversed(list(state.items()))) for state in states]
    yield "states reversed", states[::-1]
    yield "with nothing between", [each for state in states for each in (empty, state)]
    yield "each state twice", [state for state in states for _ in range(2)]
    for index, state in enumerate(states):
        yield f"state {index} alone", [state]
