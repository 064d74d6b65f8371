"""The selector grammar, against a naive evaluator and Calico's own examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore.selectors import MAX_LENGTH, SelectorError, parse

Labels = Mapping[str, str]
Case = tuple[str, Callable[[Labels], bool]]

TRUE_OF_A1_B2 = [
    "",
    " \t",
    "all()",
    "all( )",
    "global()",
    "a == '1'",
    'a == "1"',
    "a=='1'&&b=='2'",
    "a != '2'",
    "c != '1'",
    "has(a)",
    "has( a )",
    "!has(c)",
    "! ! has(a)",
    "a in {'1','3'}",
    "a in {'1', }",
    "a not in {'2'}",
    "a notin {'2'}",
    "c not in {'1'}",
    "c notin {}",
    "a contains '1'",
    "a starts with '1'",
    "a startswith ''",
    "a ends with '1'",
    "has(a) || has(c) && has(d)",
    "(has(c) || has(a)) && has(b)",
    "!has(c) && !has(d)",
    "a == '1' &&\thas(b)",
    "!(a == '2')",
    "!a == '2'",
]
FALSE_OF_A1_B2 = [
    "a == '2'",
    "c == ''",
    "a in {}",
    "c in {'1'}",
    "c contains ''",
    "c starts with ''",
    "c ends with ''",
    "!all()",
    "has(c) && has(d) || has(e)",
    "(has(a) || has(c)) && has(d)",
    "a not in {'1'}",
    "!has(a) || has(c)",
]
REFUSED = [
    *("a", "a ==", "== 'b'", "a == b", "a = 'b'", "a == 'b", "a == 'it\\'s'", "has()", "has (a)"),
    *(
        "a & b",
        "a == 'b' &&",
        "(a == 'b'",
        "a == 'b')",
        "a in",
        "a in {",
        "a in {,}",
        "a in {'b' 'c'}",
    ),
    *(
        "a == 'b'\n",
        "all() all()",
        "!",
        "()",
        "a in {'b',,}",
        "é == 'b'",
        "a == 'b' || ",
        "has(a b)",
    ),
]


@pytest.mark.parametrize("text", TRUE_OF_A1_B2)
def test_these_select(text: str) -> None:
    assert parse(text).matches({"a": "1", "b": "2"})


@pytest.mark.parametrize("text", FALSE_OF_A1_B2)
def test_these_do_not_select(text: str) -> None:
    assert not parse(text).matches({"a": "1", "b": "2"})


@pytest.mark.parametrize("text", REFUSED)
def test_these_are_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse(text)


def test_keywords_may_be_labels() -> None:
    labels = {"in": "1", "has": "2", "all": "3", "not": "4", "contains": "5", "a/b.c-d_e": "6"}
    for text in (
        *("in in {'1'}", "has == '2'", "all == '3'", "not notin {'1'}", "contains contains '5'"),
        *("a/b.c-d_e == '6'", "inside != '1'", "global != 'x'"),
    ):
        assert parse(text).matches(labels), text


def test_global_is_what_has_no_namespace() -> None:
    assert not parse("global()").matches({"projectcalico.org/namespace": "default"})


def test_strings_may_hold_anything_but_their_quote() -> None:
    assert parse("""a == "it's && {}" """).matches({"a": "it's && {}"})
    assert parse("a == 'ü\n'").matches({"a": "ü\n"})


@pytest.mark.parametrize(
    "text",
    ["(" * 5000 + "all()" + ")" * 5000, "!" * 10_000 + "all()", "a" * 513 + " == 'b'",
     "a == '" + "x" * MAX_LENGTH + "'", "(" * 5000],
)  # fmt: skip
def test_hostile_text_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(SelectorError):
        parse(text)


def test_long_lists_are_not_deep() -> None:
    text = " || ".join(f"a == '{n}'" for n in range(900))
    assert parse(text).matches({"a": "899"})


def test_equal_texts_are_equal_selectors() -> None:
    assert parse("has(a)") == parse("has(a)")
    assert parse("has(a)") != parse("has(b)")


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "1", "12", "2"])


def _leaf() -> st.SearchStrategy[Case]:
    sets = st.lists(VALUES, max_size=3)
    return st.one_of(
        st.builds(lambda k: (f"has({k})", lambda m: k in m), NAMES),
        st.builds(lambda k, v: (f"{k} == '{v}'", lambda m: m.get(k) == v), NAMES, VALUES),
        st.builds(lambda k, v: (f'{k} != "{v}"', lambda m: m.get(k) != v), NAMES, VALUES),
        st.builds(
            lambda k, v: (f"{k} contains '{v}'", lambda m: k in m and v in m[k]), NAMES, VALUES
        ),
        st.builds(
            lambda k, v: (f"{k} starts with '{v}'", lambda m: k in m and m[k].startswith(v)),
            *(NAMES, VALUES),
        ),
        st.builds(
            lambda k, v: (f"{k} ends with '{v}'", lambda m: k in m and m[k].endswith(v)),
            NAMES,
            VALUES,
        ),
        st.builds(
            lambda k, vs: (f"{k} in {{{','.join(map(repr, vs))}}}", lambda m: m.get(k) in vs),
            *(NAMES, sets),
        ),
        st.builds(
            lambda k, vs: (
                f"{k} not in {{{', '.join(map(repr, vs))}}}",
                lambda m: m.get(k) not in vs,
            ),
            *(NAMES, sets),
        ),
        st.just(("all()", lambda _: True)),
    )


def _grow(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    def both(x: Case, y: Case) -> Case:
        return f"({x[0]}) && ({y[0]})", lambda m: x[1](m) and y[1](m)

    def either(x: Case, y: Case) -> Case:
        return f"({x[0]})||({y[0]})", lambda m: x[1](m) or y[1](m)

    def opposite(x: Case) -> Case:
        return f"!({x[0]})", lambda m: not x[1](m)

    return (
        st.builds(both, inner, inner) | st.builds(either, inner, inner) | st.builds(opposite, inner)
    )


@given(case=st.recursive(_leaf(), _grow, max_leaves=8), labels=st.dictionaries(NAMES, VALUES))
def test_it_agrees_with_a_naive_evaluator(case: Case, labels: Labels) -> None:
    text, expected = case
    assert parse(text).matches(labels) == expected(labels)


@given(a=st.booleans(), b=st.booleans(), c=st.booleans(), d=st.booleans())
def test_not_binds_before_and_before_or(a: bool, b: bool, c: bool, d: bool) -> None:  # noqa: FBT001
    labels = {name: "" for name, there in zip("abcd", (a, b, c, d), strict=True) if there}
    assert parse("has(a) || !has(b) && has(c) || has(d)").matches(labels) == (
        a or ((not b) and c) or d
    )


@given(text=st.text(alphabet="ab ()!&|='\"{},hasin", max_size=40))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    with suppress(SelectorError):
        parse(text).matches({"a": "1"})
