"""What a spec's table is made of: each shape checks a value and answers it in Calico's form.

Calico's form: fields in the order of its structs, null and empty fields left out where Go's omitempty does
so, scalars as its types write them back. What a table does not know is kept; `strangers` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from felix_py.datastore.codec_fields import BadField, in_range


@dataclass(frozen=True, slots=True)
class Stranger:
    """A field that a table does not know, and those that it knows at that place."""

    path: str
    known: tuple[str, ...]


Rule = Callable[[str, Mapping[str, Any]], None]
"""A check across fields: path and the mapping in Calico's form. Raises BadField."""

_LARGEST = 2**63 - 1


class Shape:
    """One kind of value."""

    def read(self, path: str, value: object) -> object:
        """The value in Calico's form. Raises BadField that names the path."""
        raise NotImplementedError

    def omits(self, value: object) -> bool:
        """True when Calico leaves a field with this value out of what it stores."""
        del value
        return False

    def strangers(self, path: str, value: object) -> Iterator[Stranger]:
        """The fields that the table does not know."""
        del path, value
        yield from ()


@dataclass(frozen=True, slots=True)
class Anything(Shape):
    """Not looked into: what somebody else checks, or nobody reads."""

    def read(self, path: str, value: object) -> object:
        """The value itself."""
        del path
        return value


@dataclass(frozen=True, slots=True)
class Text(Shape):
    """Text; `check` raises BadField for a text that is not empty; empty is left out, or kept."""

    check: Callable[[str, str], object] | None = None
    keeps_empty: bool = False

    def read(self, path: str, value: object) -> object:
        """The text as it is."""
        if not isinstance(value, str):
            raise BadField(path, f"{value!r} is not text; put it in quotes")
        if value and self.check is not None:
            self.check(path, value)
        return value

    def omits(self, value: object) -> bool:
        """Empty text takes the default again."""
        return not self.keeps_empty and value == ""


@dataclass(frozen=True, slots=True)
class Choice(Shape):
    """One of some words, exactly or (`folded`) in any case."""

    words: tuple[str, ...]
    folded: bool = False

    def read(self, path: str, value: object) -> object:
        """The word as it was written."""
        known = {each.lower() if self.folded else each for each in self.words}
        word = value if isinstance(value, str) else None
        if word != "" and (word is None or (word.lower() if self.folded else word) not in known):
            raise BadField(path, f"{value!r} is unknown; write one of: {', '.join(self.words)}")
        return value

    def omits(self, value: object) -> bool:
        """Empty text takes the default again."""
        return value == ""


@dataclass(frozen=True, slots=True)
class Number(Shape):
    """An integer between two; 0 may be left out (`omits_zero`)."""

    lowest: int = -_LARGEST
    highest: int = _LARGEST
    omits_zero: bool = False

    def read(self, path: str, value: object) -> object:
        """The number."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadField(path, f"{value!r} is not a whole number; write one without quotes")
        if value == 0 and self.omits_zero:
            return value
        return in_range(path, value, self.lowest, self.highest)

    def omits(self, value: object) -> bool:
        """Go's omitempty on a plain number."""
        return self.omits_zero and value == 0


@dataclass(frozen=True, slots=True)
class Order(Shape):
    """A float; Go writes a whole one without a point."""

    def read(self, path: str, value: object) -> object:
        """The number."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise BadField(path, f"{value!r} is not a number; write one without quotes")
        return int(value) if float(value).is_integer() else value


@dataclass(frozen=True, slots=True)
class Flag(Shape):
    """true or false; a plain Go bool leaves false out (`omits_false`)."""

    omits_false: bool = False

    def read(self, path: str, value: object) -> object:
        """The flag."""
        if not isinstance(value, bool):
            raise BadField(path, f"{value!r} is neither true nor false; write one without quotes")
        return value

    def omits(self, value: object) -> bool:
        """Go's omitempty on a plain bool."""
        return self.omits_false and value is False


@dataclass(frozen=True, slots=True)
class Many(Shape):
    """A list. An empty one is left out, or means something (`keeps_empty`)."""

    item: Shape
    keeps_empty: bool = False
    unique: bool = False
    at_most: int = 65536

    def read(self, path: str, value: object) -> object:
        """The items, each in Calico's form."""
        if not isinstance(value, list):
            raise BadField(path, "must be a list; write [...]")
        if len(value) > self.at_most:
            raise BadField(path, f"has {len(value)} items; write {self.at_most} at most")
        items = [self.item.read(f"{path}[{n}]", item) for n, item in enumerate(value)]
        if self.unique and any(item in items[:n] for n, item in enumerate(items)):
            raise BadField(path, "names something twice; write it once")
        return items

    def omits(self, value: object) -> bool:
        """Go's omitempty on a slice; a pointer to one is kept."""
        return not self.keeps_empty and value == []

    def strangers(self, path: str, value: object) -> Iterator[Stranger]:
        """Those of the items."""
        for n, item in enumerate(value if isinstance(value, list) else ()):
            yield from self.item.strangers(f"{path}[{n}]", item)


@dataclass(frozen=True, slots=True)
class Words(Shape):
    """A mapping of text to text, such as labels; `check` is asked for each entry."""

    check: Callable[[str, str, str], object] | None = None

    def read(self, path: str, value: object) -> object:
        """The mapping in the order of its keys, as Go writes one."""
        if not isinstance(value, Mapping):
            raise BadField(path, "must be a mapping of text to text")
        for name, text in value.items():
            if not isinstance(name, str) or not isinstance(text, str):
                raise BadField(path, f"{name!r}: {text!r} is not text; put it in quotes")
            if self.check is not None:
                self.check(path, name, text)
        return dict(sorted(value.items()))

    def omits(self, value: object) -> bool:
        """Go's omitempty on a map."""
        return value == {}


@dataclass(frozen=True, slots=True)
class Fields(Shape):
    """A mapping with these fields, in this order.

    required: must be there; always: written with this value where absent; rule: checks across fields.
    """

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    always: Mapping[str, object] = field(default_factory=dict)
    rule: Rule | None = None

    def read(self, path: str, value: object) -> dict[str, Any]:
        """The fields in Calico's order, then those that the table does not know."""
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise BadField(path, "must be a mapping")
        given = {name: each for name, each in value.items() if each is not None}
        found: dict[str, Any] = {}
        for name, shape in self.fields.items():
            if name in given:
                read = shape.read(f"{path}.{name}", given[name])
                if not shape.omits(read):
                    found[name] = read
            if name not in found and name in self.always:
                found[name] = self.always[name]
        for name in self.required:
            if name not in found:
                raise BadField(f"{path}.{name}", "is missing; set it")
        if self.rule is not None:
            self.rule(path, found)
        return found | {name: each for name, each in given.items() if name not in self.fields}

    def arranged(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The mapping in the order of the table; what it does not know comes last."""
        known = {name: value[name] for name in self.fields if name in value}
        return known | {name: each for name, each in value.items() if name not in known}

    def with_strangers(self, value: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
        """The mapping with what the table does not know of a stored one, at every depth but in lists."""
        result = dict(value)
        for name, held in stored.items():
            shape = self.fields.get(name)
            if shape is None:
                result.setdefault(name, held)
            elif isinstance(shape, Fields) and isinstance(held, dict) and name in result:
                result[name] = shape.with_strangers(result[name], held)
        return result

    def strangers(self, path: str, value: object) -> Iterator[Stranger]:
        """Own ones, and those of the fields."""
        for name, each in value.items() if isinstance(value, Mapping) else ():
            shape = self.fields.get(str(name))
            if shape is None:
                yield Stranger(f"{path}.{name}", tuple(self.fields))
            else:
                yield from shape.strangers(f"{path}.{name}", each)
