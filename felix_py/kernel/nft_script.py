"""What nft is told, as text: a whole table, or only the elements that differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from felix_py.kernel.nft_model import NftTable

ELEMENTS_PER_LINE = 500
"""A command with more is split; all of a script is one transaction anyway."""


def whole(tables: Sequence[NftTable]) -> str:
    """Puts each table in place of what stands there, in one transaction: no packet meets a gap.

    A table is added before it is deleted, because deleting one that is absent is refused.
    """
    lines: list[str] = []
    for table in tables:
        name = f"{table.family} {table.name}"
        lines += [f"add table {name}", f"delete table {name}", f"table {name} {{", table.body, "}"]
        for set_name, elements in sorted(table.elements.items()):
            lines += _elements("add", table, set_name, elements)
    return _text(lines)


def changes(old: Sequence[NftTable], new: Sequence[NftTable]) -> str | None:
    """What turns the old elements into the new; None when more than elements differs.

    Deleting comes first, so that a range may take the place of its parts.
    """
    if [(table.key, table.body) for table in old] != [(table.key, table.body) for table in new]:
        return None
    away: list[str] = []
    added: list[str] = []
    for before, after in zip(old, new, strict=True):
        if before.elements.keys() != after.elements.keys():
            return None
        for set_name in sorted(after.elements):
            was, now = before.elements[set_name], after.elements[set_name]
            if was != now:
                away += _elements("delete", after, set_name, was - now)
                added += _elements("add", after, set_name, now - was)
    return _text(away + added)


def removal(tables: Iterable[NftTable]) -> str:
    """Takes the tables away, those that are absent included."""
    names = [f"{table.family} {table.name}" for table in tables]
    return _text([line for name in names for line in (f"add table {name}", f"delete table {name}")])


def _elements(verb: str, table: NftTable, set_name: str, elements: frozenset[str]) -> list[str]:
    ordered = sorted(elements)
    return [
        f"{verb} element {table.family} {table.name} {set_name} "
        f"{{ {', '.join(ordered[start : start + ELEMENTS_PER_LINE])} }}"
        for start in range(0, len(ordered), ELEMENTS_PER_LINE)
    ]


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
