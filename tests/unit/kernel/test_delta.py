"""The delta tracker says what differs, however it came about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from felix_py.kernel.delta import DeltaTracker

KEYS = st.integers(0, 5)
VALUES = st.one_of(st.none(), st.integers(0, 2))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), KEYS, VALUES),
        st.tuples(st.just("saw"), KEYS, VALUES),
        st.tuples(st.just("want_exactly"), st.dictionaries(KEYS, st.integers(0, 2))),
        st.tuples(st.just("saw_exactly"), st.dictionaries(KEYS, st.integers(0, 2))),
        st.tuples(st.just("plan")),
    ),
    max_size=30,
)


@given(STEPS)
def test_the_plan_is_the_difference_of_wish_and_sight_after_any_history(
    steps: list[tuple[object, ...]],
) -> None:
    tracker: DeltaTracker[int, int] = DeltaTracker()
    for name, *arguments in steps:
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
    for key, value in plan.upsert.items():
        tracker.saw(key, value)
    for key in plan.delete:
        tracker.saw(key, None)
    assert not tracker.plan()


def test_what_was_not_carried_out_is_planned_again() -> None:
    tracker: DeltaTracker[str, int] = DeltaTracker()
    tracker.want("a", 1)
    assert tracker.plan().upsert == {"a": 1}
    assert tracker.plan().upsert == {"a": 1}
