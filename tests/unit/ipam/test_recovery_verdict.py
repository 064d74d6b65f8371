"""What stands against opening a store without a person, in one sentence each."""

from __future__ import annotations

import pytest

from felix_py.datastore.model import NodeName
from ipam.recovery import Recovery
from ipam.recovery_papers import MOST_MISSED, Answer, digest_of, missed
from ipam.recovery_verdict import obstacle, silent, unready

A, B, C = NodeName("a"), NodeName("b"), NodeName("c")
WELL = Answer(())


def test_all_that_the_store_and_the_answers_know_must_answer() -> None:
    assert unready({A, B}, {A: WELL, B: WELL}) is None
    assert silent({A, B}, {A: WELL}) == [B]
    assert silent({A}, {A: Answer((), missed=("c",))}) == [C]
    assert silent({A}, {A: WELL, B: WELL}) == [], "one that the store lacks has answered, too"


def test_what_to_do_about_the_silent_is_said_with_their_names() -> None:
    said = unready({A, B, C}, {A: WELL})
    assert said is not None
    assert "waits for b, c, which did not answer" in said
    assert said.endswith("felixctl ipam recover --dead b,c")


def test_many_silent_ones_are_counted() -> None:
    said = unready({NodeName(f"n{number}") for number in range(9)}, {})
    assert said is not None
    assert "n0, n1, n2 and 6 more" in said


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer((), manual=True), "cni.recovery is manual on a"),
        (Answer((), remembers=False), "no node remembers"),
    ],
)
def test_what_one_node_says_may_leave_it_to_a_person(answer: Answer, why: str) -> None:
    said = unready({A}, {A: answer})
    assert said is not None
    assert why in said
    assert "felixctl ipam recover" in said


def test_one_that_remembers_is_enough() -> None:
    assert unready({A, B}, {A: Answer((), remembers=False), B: WELL}) is None


def test_a_store_that_lacks_too_many_nodes_is_for_a_person() -> None:
    known = [NodeName(f"n{number:04}") for number in range(MOST_MISSED + 20)]
    lacking = missed(known, {A})
    assert len(lacking) == MOST_MISSED + 1
    answers = dict.fromkeys(known, WELL) | {A: Answer((), missed=lacking)}
    said = unready({A}, answers)
    assert said is not None
    assert "restore the Node objects" in said


def test_a_conflict_or_what_cannot_be_judged_stands_against_the_plan() -> None:
    assert obstacle(Recovery((), (), (), ())) is None
    for made in (Recovery((), (), (), ("two users",)), Recovery((), (), (), (), ("two users",))):
        said = obstacle(made)
        assert said is not None
        assert "waits for a person: two users" in said


def test_a_digest_depends_on_the_names_alone() -> None:
    assert digest_of([A, B]) == digest_of({B, A}) != digest_of([A])
