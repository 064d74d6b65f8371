"""Shapes: what is checked, what is brought into Calico's form, what is left out and what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.ctl.schema.scalars import AsNumber, Duration, Port, Protocol, duration_text
from felix_py.ctl.schema.shape import (
    Choice,
    Fields,
    Flag,
    Many,
    Number,
    Order,
    Shape,
    Text,
    Words,
)
from felix_py.datastore.codec_fields import BadField

TABLE = Fields(
    {
        "name": Text(),
        "flag": Flag(omits_false=True),
        "pointer": Flag(),
        "size": Number(1, 9, omits_zero=True),
        "list": Many(Text()),
        "emptyList": Many(Text(), keeps_empty=True),
        "deep": Fields({"mode": Choice(("On", "Off"), folded=True)}),
        "labels": Words(),
    },
    always={"name": "x"},
)


def test_fields_come_in_the_tables_order_and_empty_ones_are_left_out() -> None:
    given_fields = {
        "labels": {},
        "emptyList": [],
        "list": [],
        "size": 0,
        "pointer": False,
        "flag": False,
        "later": {"unknown": 1},
        "deep": None,
    }
    read = TABLE.read("spec", given_fields)
    assert list(read.items()) == [
        ("name", "x"),
        ("pointer", False),
        ("emptyList", []),
        ("later", {"unknown": 1}),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], "spec: must be a mapping"),
        ({"name": 5}, "spec.name: 5 is not text"),
        ({"flag": "true"}, "spec.flag: 'true' is neither true nor false"),
        ({"size": 10}, "spec.size: 10 is out of range"),
        ({"size": True}, "spec.size: True is not a whole number"),
        ({"list": "a"}, "spec.list: must be a list"),
        ({"list": [1]}, "spec.list[0]: 1 is not text"),
        ({"deep": {"mode": "Dim"}}, "spec.deep.mode: 'Dim' is unknown"),
        ({"labels": {"a": 1}}, "spec.labels: 'a': 1 is not text"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(value: Any, expected: str) -> None:
    with pytest.raises(BadField) as error:
        TABLE.read("spec", value)
    assert str(error.value).startswith(expected)


def test_strangers_are_found_at_every_depth() -> None:
    shape = Fields({"rules": Many(Fields({"a": Text()}))})
    found = shape.strangers("spec", {"rules": [{"a": "x"}, {"b": 1}], "c": None})
    assert [each.path for each in found] == ["spec.rules[1].b", "spec.c"]


def test_what_only_the_stored_one_knows_survives_at_every_depth() -> None:
    stored = {"deep": {"mode": "On", "new": 1}, "future": [1], "name": "gone"}
    merged = TABLE.with_strangers({"deep": {"mode": "Off"}}, stored)
    assert merged == {"deep": {"mode": "Off", "new": 1}, "future": [1]}


@pytest.mark.parametrize(
    ("shape", "value", "read"),
    [
        (Duration(), "90s", "1m30s"),
        (Duration(), "0", "0s"),
        (Duration(), "10m", "10m0s"),
        (Duration(), "1h", "1h0m0s"),
        (Duration(), "1500ms", "1.5s"),
        (Duration(), "50ms", "50ms"),
        (AsNumber(), "64512", 64512),
        (AsNumber(), "1.10", 65546),
        (Port(), "80", 80),
        (Port(), "8000:8100", "8000:8100"),
        (Port(), "80:80", 80),
        (Port(), "http", "http"),
        (Protocol(), "6", 6),
        (Protocol(), "UDPLite", "UDPLite"),
        (Order(), 100.0, 100),
        (Order(), 1.5, 1.5),
    ],
)
def test_scalars_are_written_back_as_gos_types_do(
    shape: Shape, value: object, read: object
) -> None:
    assert shape.read("x", value) == read


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (Duration(), "5"),
        (Duration(), 5),
        (Duration(), "-5s"),
        (Port(), 0),
        (Port(), "9:8"),
        (Port(named=False), "http"),
        (Protocol(), "tcp"),
        (Protocol(), 0),
        (Protocol(), True),
        (AsNumber(), 2**32),
        (Order(), "1"),
    ],
)
def test_other_scalars_are_refused(shape: Shape, value: object) -> None:
    with pytest.raises(BadField, match=r"^x: "):
        shape.read("x", value)


@given(st.integers(0, 10**15))
def test_a_durations_text_reads_as_itself(nanoseconds: int) -> None:
    text = duration_text(nanoseconds)
    assert Duration().read("x", text) == text
