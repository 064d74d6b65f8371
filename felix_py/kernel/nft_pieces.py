"""A table of nftables that is changed piece by piece, so that what it counts is kept. Pure.

A rule that limits a rate or counts connections keeps its count only as long as it stands. So each such
chain's name tells its content (a digest), the static part is named by an empty chain, and what stands
is recognised by names alone: a fresh process takes over, a change touches only the chains it concerns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

FAMILY = "inet"
BODY_PREFIX = "body_"
JUMP = "jump "


@dataclass(frozen=True, slots=True)
class Pieces:
    """The table as it should be. `body`: declarations of sets and maps without elements, base chains.

    fixed: the chains of the body with their numbers of rules. chains: name -> its rules; maps: name ->
    key -> chain that packets jump to; sets: name -> elements.
    Keys and elements are spelled as nft's JSON spells them.
    """

    table: str
    body: str
    fixed: Mapping[str, int]
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def marker(self) -> str:
        """The name of the empty chain that tells which body stands."""
        return f"{BODY_PREFIX}{digest(self.body)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """The table as it stands: chains with their numbers of rules, maps, sets."""

    chains: Mapping[str, int] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)


def digest(*texts: str) -> str:
    """Twelve digits that differ where the texts do."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def standing_of(entries: Iterable[Mapping[str, Any]]) -> Standing:
    """What `nft -j list table` told. What we would never write is left out, and so put right."""
    chains: dict[str, int] = {}
    maps: dict[str, dict[str, str]] = {}
    sets: dict[str, frozenset[str]] = {}
    for entry in entries:
        if "chain" in entry:
            chains.setdefault(entry["chain"]["name"], 0)
        elif "rule" in entry:
            name = entry["rule"]["chain"]
            chains[name] = chains.get(name, 0) + 1
        elif "map" in entry:
            maps[entry["map"]["name"]] = _targets(entry["map"].get("elem", ()))
        elif "set" in entry:
            elements = entry["set"].get("elem", ())
            sets[entry["set"]["name"]] = frozenset(map(_element, elements))
    return Standing(chains, maps, sets)


def script_for(wanted: Pieces, stands: Standing | None) -> str:
    """What turns what stands (None: nothing) into what is wanted, as one transaction; empty: nothing."""
    if stands is None or not _body_stands(wanted, stands):
        return _whole(wanted)
    return _text(_changes(wanted, stands))


def removal(table: str) -> str:
    """Takes the table away, absent or not."""
    return _text([f"add table {FAMILY} {table}", f"delete table {FAMILY} {table}"])


def _body_stands(wanted: Pieces, stands: Standing) -> bool:
    return (
        wanted.marker in stands.chains
        and wanted.maps.keys() <= stands.maps.keys()
        and wanted.sets.keys() <= stands.sets.keys()
        and all(stands.chains.get(name) == count for name, count in wanted.fixed.items())
    )


def _whole(wanted: Pieces) -> str:
    """In place of whatever stands there: a table is added first, because deleting none is refused."""
    name = f"{FAMILY} {wanted.table}"
    chains = [f"chain {wanted.marker} {{ }}"]
    for chain, rules in sorted(wanted.chains.items()):
        chains += [f"chain {chain} {{", *rules, "}"]
    lines = [f"add table {name}", f"delete table {name}", f"table {name} {{"]
    lines += [*chains, wanted.body, "}"]
    for each, targets in sorted(wanted.maps.items()):
        lines += _put(wanted.table, each, _pairs(targets))
    for each, elements in sorted(wanted.sets.items()):
        lines += _put(wanted.table, each, elements)
    return _text(lines)


def _changes(wanted: Pieces, stands: Standing) -> list[str]:
    """New chains, then the maps that lead to them, then the old ones away."""
    name = f"{FAMILY} {wanted.table}"
    lines: list[str] = []
    for chain, rules in sorted(wanted.chains.items()):
        count = stands.chains.get(chain)
        if count == len(rules):
            continue
        lines.append(
            f"add chain {name} {chain}" if count is None else f"flush chain {name} {chain}"
        )
        lines += [f"add rule {name} {chain} {rule}" for rule in rules]
    for each, targets in sorted(wanted.maps.items()):
        lines += _moved(wanted.table, each, _pairs(stands.maps.get(each, {})), _pairs(targets))
    for each, elements in sorted(wanted.sets.items()):
        lines += _moved(wanted.table, each, stands.sets.get(each, frozenset()), elements)
    kinds = tuple({chain.partition("_")[0] for chain in wanted.maps})
    for chain in sorted(stands.chains.keys() - wanted.chains.keys()):
        if chain.partition("_")[0] in kinds:
            lines += [f"flush chain {name} {chain}", f"delete chain {name} {chain}"]
    return lines


def _moved(table: str, each: str, old: frozenset[str], new: frozenset[str]) -> list[str]:
    away = _put(table, each, old - new, "delete")
    return away + _put(table, each, new - old)


def _put(table: str, each: str, elements: frozenset[str], verb: str = "add") -> list[str]:
    if not elements:
        return []
    return [f"{verb} element {FAMILY} {table} {each} {{ {', '.join(sorted(elements))} }}"]


def _pairs(targets: Mapping[str, str]) -> frozenset[str]:
    return frozenset(f'"{key}" : {JUMP}{chain}' for key, chain in targets.items())


def _targets(elements: Iterable[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in elements:
        try:
            key, verdict = element
            found[str(key)] = str(verdict["jump"]["target"])
        except (TypeError, ValueError, KeyError):
            continue
    return found


def _element(element: object) -> str:
    if isinstance(element, dict) and "prefix" in element:
        return f"{element['prefix']['addr']}/{element['prefix']['len']}"
    return str(element)


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
