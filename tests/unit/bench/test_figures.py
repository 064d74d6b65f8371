"""A benchmark's figures keep to their targets, travel by file and read as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import figures
from bench.__main__ import printed
from bench.figures import Figure, Target, emit, read, table

HALF = Target("ratio", "at most", 0.5)


def figure(ours: float, theirs: float | None, target: Target | None) -> Figure:
    return Figure("cni", "ADD p50", "ms", ours, "ptp", theirs, target)


@pytest.mark.parametrize(
    ("ours", "theirs", "target", "met"),
    [
        (5.0, 10.0, HALF, True),
        (5.1, 10.0, HALF, False),
        (30.0, 10.0, Target("ratio", "at least", 3), True),
        (29.0, 10.0, Target("ratio", "at least", 3), False),
        (14.0, 1.0, Target("ours", "at most", 15), True),
        (16.0, 100.0, Target("ours", "at most", 15), False),
        (5.0, None, HALF, None),
        (5.0, 10.0, None, None),
    ],
)
def test_a_target_bounds_the_ratio_or_our_own_figure(
    ours: float, theirs: float | None, target: Target | None, *, met: bool | None
) -> None:
    assert figure(ours, theirs, target).met is met


def test_figures_come_back_as_they_were_emitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures"
    assert read(file) == []
    monkeypatch.setenv(figures.FILE_VARIABLE, str(file))
    wanted = [figure(1.0, 2.0, HALF), figure(3.0, None, None)]
    emit(wanted[:1])
    emit(wanted[1:])
    assert read(file) == wanted


def test_who_runs_a_benchmark_alone_gets_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(figures.FILE_VARIABLE, raising=False)
    emit([figure(1.0, 2.0, HALF)])


def test_a_missed_target_is_said_loudly() -> None:
    assert table([figure(7.0, 10.0, HALF)])[2] == (
        "| cni       | ADD p50 | 7 ms | ptp  | 10.0 ms | 0.70  | ratio <= 0.5 | NO  |"
    )


def test_what_a_benchmark_only_prints_is_read() -> None:
    text = "learn      10000 routes: felix-py   1.25 s   BIRD   0.50 s   ratio  2.50\nnothing\n"
    [found] = printed("bgp_learn", text)
    assert (found.ours, found.peer, found.theirs) == (1.25, "BIRD", 0.5)
    assert found.what == "learn 10000 routes"
