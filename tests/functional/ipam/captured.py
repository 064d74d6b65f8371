"""Calico's captured writes as states, and their comparison with ours "in meaning".

What may differ is one table, tests/golden/calico/allowed-differences.yaml; anything else is a difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GOLDEN = Path(__file__).parents[2] / "golden" / "calico"
CAPTURE = GOLDEN / "writes-v3.32.1.txt"
ALLOWED = GOLDEN / "allowed-differences.yaml"

_WRITE = re.compile(r"\[(\d+)\] (CREATE|UPDATE|DELETE) (\S+)")

State = dict[str, Any]
"""Key to parsed value."""


def states() -> dict[int, dict[str, str]]:
    """Revision to every key's text after it, as Calico left it."""
    found: dict[int, dict[str, str]] = {}
    now: dict[str, str] = {}
    lines = iter(CAPTURE.read_text("utf-8").splitlines())
    for line in lines:
        match = _WRITE.fullmatch(line.strip())
        if match is None:
            continue
        revision, verb, key = match.groups()
        if verb == "DELETE":
            del now[key]
        else:
            now[key] = next(lines).strip()
        found[int(revision)] = dict(now)
    return found


def parsed(texts: Mapping[str, str]) -> State:
    """Every value as JSON."""
    return {key: json.loads(text) for key, text in texts.items()}


@dataclass(frozen=True, slots=True)
class Rule:
    """One allowed difference: where (key and path inside the value), how far, and why."""

    key: re.Pattern[str]
    path: re.Pattern[str]
    how: str
    why: str

    def fits(self, key: str, path: str) -> bool:
        """True when this rule speaks of this place."""
        return bool(self.key.fullmatch(key) and self.path.fullmatch(path))


def rules() -> list[Rule]:
    """The committed table."""
    entries = yaml.safe_load(ALLOWED.read_text("utf-8"))["allowed"]
    return [Rule(re.compile(e["key"]), re.compile(e["path"]), e["how"], e["why"]) for e in entries]


@dataclass(frozen=True, slots=True)
class Place:
    """A value in Calico's state and in ours; ABSENT where there is none."""

    key: str
    path: str
    theirs: Any
    mine: Any
    root: Any
    """Calico's whole value of the key."""


ABSENT: Any = ...


def differences(captured: State, ours: State, allowed: list[Rule]) -> list[str]:
    """Every difference that the table does not allow, as sentences."""
    found: list[str] = []
    for key in sorted({*captured, *ours}):
        theirs = captured.get(key, ABSENT)
        found += _compare(Place(key, "", theirs, ours.get(key, ABSENT), theirs), allowed)
    return found


def _compare(place: Place, allowed: list[Rule]) -> list[str]:
    if any(r.fits(place.key, place.path) and _ALLOWED_IF[r.how](place) for r in allowed):
        return []
    theirs, mine = place.theirs, place.mine
    parts: list[tuple[str, Any, Any]]
    if isinstance(theirs, dict) and isinstance(mine, dict):
        names = sorted({*theirs, *mine})
        parts = [(f".{n}", theirs.get(n, ABSENT), mine.get(n, ABSENT)) for n in names]
    elif isinstance(theirs, list) and isinstance(mine, list) and len(theirs) == len(mine):
        parts = [(f"[{i}]", a, b) for i, (a, b) in enumerate(zip(theirs, mine, strict=True))]
    elif type(theirs) is type(mine) and theirs == mine:
        return []
    else:
        return [f"{place.key} {place.path or '(value)'}: {theirs!r} became {mine!r}"]
    inner = [Place(place.key, place.path + step, a, b, place.root) for step, a, b in parts]
    return [text for part in inner for text in _compare(part, allowed)]


def _free_ordinal(place: Place) -> bool:
    ordinal = int(place.path.rpartition(".")[2])
    return place.mine is ABSENT and place.root["allocations"][ordinal] is None


_DEFAULTS = {"auto_allocate_blocks": True, "kubeVirtVMAddressPersistence": "Enabled"}

_ALLOWED_IF: dict[str, Callable[[Place], bool]] = {
    "both are positive integers": lambda p: all(
        type(value) is int and value > 0 for value in (p.theirs, p.mine)
    ),
    "both are texts": lambda p: all(isinstance(v, str) and v for v in (p.theirs, p.mine)),
    "null means an empty list": lambda p: p.theirs is None and p.mine == [],
    "only Calico has it": lambda p: p.mine is ABSENT,
    "only Calico has it, with the defaults": lambda p: p.mine is ABSENT and p.theirs == _DEFAULTS,
    "only Calico has it, for a free address": _free_ordinal,
    "5 became 4": lambda p: (p.theirs, p.mine) == (5, 4),
}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every scalar of a value with its path and its steps."""
    yield from _leaves(value, path, [])


def _leaves(value: Any, path: str, steps: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}", [*steps, name])
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]", [*steps, index])
    else:
        yield path, steps
