"""What a benchmark found: ours, a named peer's in the same run, and what we want of the two."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

FILE_VARIABLE = "BENCH_FIGURES"
"""The file that a benchmark which runs under `python -m bench` appends its figures to."""


class Target(msgspec.Struct, frozen=True):
    """A bound for the ratio (ours / peer's), or for our own figure."""

    of: Literal["ratio", "ours"]
    kind: Literal["at least", "at most"]
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether the value keeps to the bound."""
        return value >= self.bound if self.kind == "at least" else value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.kind == "at least" else "<="
        return f"{self.of} {sign} {self.bound:g}"


class Figure(msgspec.Struct, frozen=True):
    """One line of a result. `theirs` None: there is no peer for this, only a bound."""

    benchmark: str
    what: str
    unit: str
    ours: float
    peer: str
    theirs: float | None = None
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to theirs; None without a peer."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        value = self.ours if self.target.of == "ours" else self.ratio
        return None if value is None else self.target.is_met(value)


def emit(figures: Sequence[Figure]) -> None:
    """Hand the figures to `python -m bench`, if that is who runs us."""
    file = os.environ.get(FILE_VARIABLE)
    if file:
        with Path(file).open("ab") as output:
            output.writelines(map(encoded, figures))


def encoded(figure: Figure) -> bytes:
    """A figure as a line of the file."""
    return msgspec.json.encode(figure) + b"\n"


def read(file: Path) -> list[Figure]:
    """What was emitted into this file."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [msgspec.json.decode(line, type=Figure) for line in lines]


def table(figures: Sequence[Figure]) -> list[str]:
    """The figures as lines of a Markdown table."""
    head = ("benchmark", "figure", "ours", "peer", "peer's", "ratio", "target", "met")
    rows = [head, tuple("---" for _ in head), *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.benchmark,
        figure.what,
        f"{_number(figure.ours)} {figure.unit}",
        figure.peer or "-",
        "-" if figure.theirs is None else f"{_number(figure.theirs)} {figure.unit}",
        "-" if figure.ratio is None else f"{figure.ratio:.2f}",
        "-" if figure.target is None else str(figure.target),
        {None: "-", True: "yes", False: "NO"}[figure.met],
    )


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"
