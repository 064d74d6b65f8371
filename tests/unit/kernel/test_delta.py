"""The delta tracker says what differs, however it came about."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from felix_py.kernel.delta import DeltaTracker

KEYS = st.integers(0, 5)
VALUES = st.one_of(st.none(), st.integers(0, 2))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.dictionaries(KEYS, VALUES)),
        st.tuples(st.just("saw"), KEYS, VALUES),
        st.tuples(st.just("want_exactly"), st.dictionaries(KEYS, st.integers(0, 2))),
        st.tuples(st.just("saw_exactly"), st.dictionaries(KEYS, st.integers(0, 2))),
        st.tuples(st.just("plan")),
        st.tuples(st.just("carry out")),
    ),
    max_size=30,
)


@given(STEPS)
def test_the_plan_is_the_difference_of_wish_and_sight_after_any_history(
    steps: list[tuple[object, ...]],
) -> None:
    tracker: DeltaTracker[int, int] = DeltaTracker()
    for name, *arguments in steps:
        if name == "carry out":
            tracker.carried_out(tracker.plan())
        else:
            getattr(tracker, str(name))(*arguments)
    plan = tracker.plan()
    wanted, seen = tracker.desired, tracker.actual
    assert plan.upsert == {k: v for k, v in wanted.items() if seen.get(k) != v}
    assert plan.delete == {k: v for k, v in seen.items() if k not in wanted}


def test_a_plan_that_was_carried_out_leaves_nothing_to_do() -> None:
    tracker: DeltaTracker[str, int] = DeltaTracker()
    tracker.saw_exactly({"a": 1, "b": 2, "c": 3})
    tracker.want_exactly({"a": 1, "b": 7, "d": 4})
    plan = tracker.plan()
    assert (dict(plan.upsert), dict(plan.delete)) == ({"b": 7, "d": 4}, {"c": 3})
    in_one_go = deepcopy(tracker)
    for key, value in plan.upsert.items():
        tracker.saw(key, value)
    for key in plan.delete:
        tracker.saw(key, None)
    in_one_go.carried_out(plan)
    for done in (tracker, in_one_go):
        assert done.actual == {"a": 1, "b": 7, "d": 4}
        assert not done.plan()


def test_keys_are_planned_in_the_order_in_which_they_were_wanted() -> None:
    tracker: DeltaTracker[int, str] = DeltaTracker()
    order = [7, 3, 99, 1, 50]
    tracker.want(dict.fromkeys(order, "a"))
    assert list(tracker.plan().upsert) == order
    tracker.saw_exactly(dict.fromkeys(reversed(order), "a"))
    tracker.want(dict.fromkeys(order))
    assert list(tracker.plan().delete) == order


def test_what_was_not_carried_out_is_planned_again() -> None:
    tracker: DeltaTracker[str, int] = DeltaTracker()
    tracker.want({"a": 1})
    assert tracker.plan().upsert == {"a": 1}
    assert tracker.plan().upsert == {"a": 1}
