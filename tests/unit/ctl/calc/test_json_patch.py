"""Merge patches and lists of operations, with the examples of RFC 7396 and RFC 6902."""

from __future__ import annotations

import pytest

from felix_py.ctl.calc.json_patch import PatchError, merge_patch, operate


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (["a"], {"b": 1}, {"b": 1}),
    ],
)
def test_a_merge_patch_replaces_adds_and_removes(
    document: object, patch: object, result: object
) -> None:
    assert merge_patch(document, patch) == result


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/b", "value": 1}, {"a": [1, 2], "b": 1}),
        ({"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1, 2]}),
        ({"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3]}),
        ({"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"op": "replace", "path": "/a/1", "value": 9}, {"a": [1, 9]}),
        ({"op": "replace", "path": "", "value": {}}, {}),
        ({"op": "move", "from": "/a", "path": "/b"}, {"b": [1, 2]}),
        ({"op": "copy", "from": "/a/0", "path": "/x~1y~0"}, {"a": [1, 2], "x/y~": 1}),
        ({"op": "test", "path": "/a/0", "value": 1}, {"a": [1, 2]}),
    ],
)
def test_an_operation_does_what_it_says_and_leaves_the_document_alone(
    operation: object, result: object
) -> None:
    document = {"a": [1, 2]}
    assert operate(document, [operation]) == result
    assert document == {"a": [1, 2]}


@pytest.mark.parametrize(
    "operations",
    [
        {},
        ["x"],
        [{"op": "add", "path": "/a/9", "value": 1}],
        [{"op": "add", "path": "/a/01x", "value": 1}],
        [{"op": "replace", "path": "/none", "value": 1}],
        [{"op": "remove", "path": "/none"}],
        [{"op": "test", "path": "/a/0", "value": 2}],
        [{"op": "jump", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/b"}],
    ],
)
def test_what_cannot_be_done_is_refused(operations: object) -> None:
    with pytest.raises(PatchError):
        operate({"a": [1, 2]}, operations)
