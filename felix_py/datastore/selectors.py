"""Label selectors: one grammar for pools, peers and policy.

Reference: Calico v3.32.1 `libcalico-go/lib/selector/{tokenizer,parser}`. Empty text is `all()`;
`!` binds closest, then `&&`, then `||`; strings have no escapes; only spaces and tabs separate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.exceptions import VisitError

from felix_py.runtime.errors import RefusedError

MAX_LENGTH = 16_384
"""Characters; longer text is refused. Calico has no bound, its objects stay far below."""
MAX_DEPTH = 64
"""Nested parentheses and negations; deeper text is refused."""
NAMESPACE_LABEL = "projectcalico.org/namespace"

Labels = Mapping[str, str]
Test = Callable[[Labels], bool]

_GRAMMAR = r"""
    start: any
    ?any: every ("||" every)*
    ?every: unary ("&&" unary)*
    ?unary: NOT unary -> negated
          | primary
    ?primary: "(" any ")" -> nested
            | ALL -> everything
            | GLOBAL -> without_namespace
            | HAS LABEL ")" -> has
            | LABEL "==" STRING -> equal
            | LABEL "!=" STRING -> different
            | LABEL CONTAINS STRING -> contains
            | LABEL STARTS STRING -> starts
            | LABEL ENDS STRING -> ends
            | LABEL IN set -> within
            | LABEL NOT_IN set -> outside
    set: "{" [STRING ("," STRING)* [","]] "}"

    NOT.2: "!"
    ALL.3: /all\([ \t]*\)/
    GLOBAL.3: /global\([ \t]*\)/
    HAS.3: /has\(/
    CONTAINS.3: "contains"
    STARTS.3: /starts[ \t]*with/
    ENDS.3: /ends[ \t]*with/
    NOT_IN.3: /not[ \t]*in\b/
    IN.3: /in\b/
    LABEL: /[A-Za-z0-9_.\/-]{1,512}/
    STRING: /'[^']*'|"[^"]*"/
    %ignore /[ \t]+/
"""


class SelectorError(RefusedError):
    """The text is no selector; says where and what was found."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A parsed selector; equal texts are equal selectors."""

    text: str
    _node: _Node

    def matches(self, labels: Labels) -> bool:
        """True when something with these labels is selected."""
        return self._node.test(labels)


@dataclass(frozen=True, slots=True)
class _Node:
    test: Test
    depth: int = 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Node)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=4096)
def parse(text: str) -> Selector:
    """The selector of this text. Raises SelectorError."""
    if len(text) > MAX_LENGTH:
        raise SelectorError(f"selector has {len(text)} characters; at most {MAX_LENGTH} are read")
    if not text.strip(" \t"):
        return Selector(text, _EVERYTHING)
    try:
        node = _PARSER.parse(text)
    except UnexpectedInput as error:
        where = f"at character {error.column}" if error.column > 0 else "at its end"
        raise SelectorError(f"selector {_short(text)} cannot be read {where}; correct it") from None
    except VisitError as error:
        raise SelectorError(str(error.orig_exc)) from None
    assert isinstance(node, _Node)
    return Selector(text, node)


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _equal(label: str, value: str) -> Test:
    return lambda labels: labels.get(label) == value


def _within(label: str, values: frozenset[str]) -> Test:
    return lambda labels: label in labels and labels[label] in values


def _every(tests: Sequence[Test]) -> Test:
    return lambda labels: all(test(labels) for test in tests)


def _any(tests: Sequence[Test]) -> Test:
    return lambda labels: any(test(labels) for test in tests)


def _negated(test: Test) -> Test:
    return lambda labels: not test(labels)


_EVERYTHING = _Node(lambda labels: True)  # noqa: ARG005  everything, whatever the labels


class _Build(Transformer[Token, _Node]):
    """Grammar rules to tests; called by the parser bottom-up, so depth is known as it grows."""

    def start(self, children: list[_Node]) -> _Node:
        return children[0]

    def any(self, children: list[_Node]) -> _Node:
        return _deeper(_any([child.test for child in children]), children)

    def every(self, children: list[_Node]) -> _Node:
        return _deeper(_every([child.test for child in children]), children)

    def negated(self, children: list[_Node]) -> _Node:
        return _deeper(_negated(children[-1].test), children[-1:])

    def nested(self, children: list[_Node]) -> _Node:
        return _deeper(children[0].test, children)

    def everything(self, children: list[Token]) -> _Node:
        del children
        return _EVERYTHING

    def without_namespace(self, children: list[Token]) -> _Node:
        del children
        return _Node(lambda labels: NAMESPACE_LABEL not in labels)

    def has(self, children: list[Token]) -> _Node:
        label = str(children[1])
        return _Node(lambda labels: label in labels)

    def equal(self, children: list[Token]) -> _Node:
        return _Node(_equal(str(children[0]), _inner(children[1])))

    def different(self, children: list[Token]) -> _Node:
        return _Node(_negated(_equal(str(children[0]), _inner(children[1]))))

    def contains(self, children: list[Token]) -> _Node:
        label, part = str(children[0]), _inner(children[2])
        return _Node(lambda labels: label in labels and part in labels[label])

    def starts(self, children: list[Token]) -> _Node:
        label, part = str(children[0]), _inner(children[2])
        return _Node(lambda labels: label in labels and labels[label].startswith(part))

    def ends(self, children: list[Token]) -> _Node:
        label, part = str(children[0]), _inner(children[2])
        return _Node(lambda labels: label in labels and labels[label].endswith(part))

    def set(self, children: list[Token | None]) -> frozenset[str]:
        return frozenset(_inner(child) for child in children if child is not None)

    def within(self, children: tuple[Token, Token, frozenset[str]]) -> _Node:
        return _Node(_within(str(children[0]), children[2]))

    def outside(self, children: tuple[Token, Token, frozenset[str]]) -> _Node:
        return _Node(_negated(_within(str(children[0]), children[2])))


def _deeper(test: Test, children: Sequence[_Node]) -> _Node:
    depth = 1 + max(child.depth for child in children)
    if depth > MAX_DEPTH:
        raise SelectorError(f"selector is nested deeper than {MAX_DEPTH}; simplify it")
    return _Node(test, depth)


def _inner(token: Token) -> str:
    return str(token)[1:-1]


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Build())
