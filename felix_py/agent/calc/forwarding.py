"""Pure: how pods' packets pass a forward chain of others that drops by default.

An accept in one table does not outweigh a drop in another, so ours must stand in the chain that
drops: after everything that its owner decided, just before the point where what is left is dropped.
An explicit drop of the owner's keeps its word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from felix_py.kernel.nft_model import ChainRule, Ends
from felix_py.kernel.rule_reading import IN, OUT

DIRECTIONS = (IN, OUT)
MAX_DEPTH = 4
"""Chains called by chains are followed so far; deeper ones count as coming back."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What to change in one chain. `blocks`: it drops by default. Deletions come first, the highest
    handle before; `before`: the handle our rules go in front of, None: at the end."""

    blocks: bool = False
    delete: tuple[int, ...] = ()
    add: tuple[str, ...] = ()
    before: int | None = None

    @property
    def needed(self) -> bool:
        """True when something is to be changed."""
        return bool(self.delete or self.add)


def admission(
    policy: str, rules: Sequence[ChainRule], rules_of: Callable[[str], Sequence[ChainRule]]
) -> Admission:
    """What the chain needs; `rules_of` gives those of a chain that it jumps to."""
    ends = [_end_of(rule, rules_of) for rule in rules]
    end = next((index for index, each in enumerate(ends) if each is not Ends.NOTHING), None)
    how = Ends.RETURNED if end is None else ends[end]
    ours = [(index, rule) for index, rule in enumerate(rules) if rule.admits]
    if how is Ends.ACCEPTED or (how is Ends.RETURNED and policy != "drop"):
        return Admission(delete=_downwards([rule for _, rule in ours]))
    useful: dict[str, int] = {}
    surplus: list[ChainRule] = []
    for index, rule in ours:
        in_time = end is None or index < end
        if in_time and rule.admits in DIRECTIONS and rule.admits not in useful:
            useful[rule.admits] = rule.handle
        else:
            surplus.append(rule)
    return Admission(
        blocks=True,
        delete=_downwards(surplus),
        add=tuple(direction for direction in DIRECTIONS if direction not in useful),
        before=None if end is None else rules[end].handle,
    )


def _end_of(
    rule: ChainRule, rules_of: Callable[[str], Sequence[ChainRule]], depth: int = 0
) -> Ends:
    """What becomes of every packet at this rule; NOTHING when some pass."""
    if rule.ends is not Ends.JUMPED:
        return rule.ends
    if depth >= MAX_DEPTH:
        return Ends.NOTHING
    for inner in rules_of(rule.target):
        end = _end_of(inner, rules_of, depth + 1)
        if end is not Ends.NOTHING:
            return Ends.NOTHING if end is Ends.RETURNED else end
    return Ends.NOTHING


def _downwards(rules: Sequence[ChainRule]) -> tuple[int, ...]:
    return tuple(sorted((rule.handle for rule in rules), reverse=True))
