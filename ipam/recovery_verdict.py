"""Whether a store that went back may be trusted again without a person: what stands against it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from felix_py.datastore.model import NodeName
from ipam.recovery import Recovery
from ipam.recovery_papers import MOST_MISSED, Answer

Answers = Mapping[NodeName, Answer]

BY_HAND = "felixctl ipam recover"
MOST_NAMED = 3


def expected(stored: Collection[NodeName], answers: Answers) -> set[NodeName]:
    """Every node that the store or one who answered knows."""
    return set(stored) | {NodeName(each) for answer in answers.values() for each in answer.missed}


def silent(stored: Collection[NodeName], answers: Answers) -> list[NodeName]:
    """Those who should answer and did not."""
    return sorted(expected(stored, answers) - set(answers))


def not_answered(nodes: Sequence[NodeName]) -> str:
    """What is said, and to be done, while these are silent."""
    return (
        f"recovery waits for {_some(nodes)}, which did not answer: start the cni server there, or if "
        f"that node is gone for good: {BY_HAND} --dead {','.join(nodes[:MOST_NAMED])}"
    )


def unready(stored: Collection[NodeName], answers: Answers) -> str | None:
    """Why no plan should be made of these answers; None: all have said what is needed."""
    quiet = silent(stored, answers)
    if quiet:
        return not_answered(quiet)
    manual = sorted(node for node, answer in answers.items() if answer.manual)
    if manual:
        return f"recovery waits for a person (cni.recovery is manual on {_some(manual)}): {BY_HAND}"
    if any(len(answer.missed) > MOST_MISSED for answer in answers.values()):
        return (
            f"this store lacks more than {MOST_MISSED} nodes that were there: restore the Node objects, "
            f"or {BY_HAND}"
        )
    if not any(answer.remembers for answer in answers.values()):
        return (
            "no node remembers which nodes there were, so one that is missing would not be noticed: "
            f"{BY_HAND}"
        )
    return None


def obstacle(made: Recovery) -> str | None:
    """Why this plan is not carried out without a person; None: nothing conflicts."""
    against = (*made.conflicts, *made.undecided)
    if not against:
        return None
    return f"recovery waits for a person: {_some(against, '; ')}; then it goes on, or {BY_HAND}"


def _some(named: Sequence[str], between: str = ", ") -> str:
    more = len(named) - MOST_NAMED
    return between.join(named[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
