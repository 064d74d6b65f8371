"""How a plan is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from felix_py.ctl.calc.plan_effect import Effect, Weight
from felix_py.ctl.plan import Plan, fields_changed

_WORDS = {Weight.LOSS: "LOST", Weight.CHANGE: "change", Weight.NOTE: "note"}


def as_json(plan: Plan) -> dict[str, object]:
    """The plan for scripts."""
    return {
        "revision": plan.seen.revision,
        "loses": plan.loses,
        "objects": [
            *(
                {
                    "object": change.title,
                    "action": _action(change.done, unchanged=change.unchanged),
                    "fields": fields_changed(change),
                }
                for change in plan.changes
            ),
            *(
                {
                    "object": each.title,
                    "action": "absent" if each.before is None else "delete",
                    "fields": [],
                }
                for each in plan.deletions
            ),
            *({"object": title, "action": "not planned", "fields": []} for title in plan.others),
        ],
        "effects": [
            {
                "topic": effect.topic,
                "weight": effect.weight.value,
                "count": effect.count,
                "text": effect.text,
                "examples": list(effect.examples),
            }
            for effect in plan.effects
        ],
    }


def show(plan: Plan, out: TextIO) -> None:
    """The plan for people."""
    out.writelines(f"{line}\n" for line in lines(plan))


def lines(plan: Plan) -> Iterator[str]:
    """The objects first, then what they do, the worst first."""
    for change in plan.changes:
        action = _action(change.done, unchanged=change.unchanged)
        yield f"{change.title}: {'no change' if action == 'none' else action}"
        yield from (f"    {each}" for each in fields_changed(change))
    for each in plan.deletions:
        yield f"{each.title}: {'is not there' if each.before is None else 'delete'}"
    yield from (f"{title}: not planned, it reaches no further than itself" for title in plan.others)
    if not plan.effects:
        yield "nothing else changes"
    for effect in plan.effects:
        yield from _effect(effect)


def _effect(effect: Effect) -> Iterator[str]:
    yield f"{_WORDS[effect.weight]:<6}{effect.count:>11,}  {effect.topic}: {effect.text}"
    yield from (f"{'':19}  {example}" for example in effect.examples)
    more = effect.count - len(effect.examples)
    if effect.examples and more > 0:
        yield f"{'':19}  and {more:,} more"


def _action(done: str, *, unchanged: bool) -> str:
    return "none" if unchanged else {"created": "create", "changed": "change"}[done]
