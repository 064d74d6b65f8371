"""Whatever stands in a file or in etcd: never an error but a sentence; Calico's form is its own form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from felix_py.ctl import output, rules
from felix_py.ctl.documents import of_mapping
from felix_py.ctl.errors import CommandError
from felix_py.ctl.kinds import BY_KIND, KINDS, KindInfo
from felix_py.ctl.patch import Form, patched_text
from felix_py.ctl.schema.shape import Fields, Many, Shape
from felix_py.ctl.stored_text import complaint, readable
from felix_py.ctl.writer import check
from felix_py.datastore.codec_documents import API_VERSION
from felix_py.datastore.keys import ResourceKey, parse
from felix_py.datastore.store import KeyValue
from tests.unit.datastore.calico_writes import recorded_writes

WORDS = (
    "",
    "default",
    "10.0.0.0/8",
    "fd00::1",
    "TCP",
    "80",
    "1:2",
    "all()",
    "Allow",
    "Enabled",
    "1m",
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 300),
    st.floats(allow_nan=False),
    st.sampled_from(WORDS),
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=4,
)


def like(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of about this shape: its fields and lists, with anything in them."""
    if isinstance(shape, Fields):
        return JUNK | st.fixed_dictionaries(
            {}, optional={name: like(inner) for name, inner in shape.fields.items()}
        )
    if isinstance(shape, Many):
        return JUNK | st.lists(like(shape.item), max_size=2)
    return JUNK


ANY = [st.tuples(st.just(info), like(info.shape)) for info in KINDS]


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.one_of(ANY), JUNK)
def test_a_file_is_taken_or_refused_with_a_sentence(
    given_spec: tuple[KindInfo, Any], metadata: Any
) -> None:
    info, spec = given_spec
    named = {"name": "default", **metadata} if isinstance(metadata, dict) else {"name": "default"}
    raw = {"kind": info.title, "apiVersion": API_VERSION, "metadata": named, "spec": spec}
    try:
        document = of_mapping(raw, "test")
        check(document, stored=True)
    except CommandError:
        return
    once = rules.complete(document)
    again = rules.complete(once)
    assert json.dumps(again.spec) == json.dumps(once.spec)
    assert (again.labels, again.annotations) == (once.labels, once.annotations)


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.one_of(ANY), JUNK)
def test_whatever_is_stored_can_be_shown(given_spec: tuple[KindInfo, Any], metadata: Any) -> None:
    info, spec = given_spec
    key = ResourceKey(info.kind, "default", "x" if info.namespaced else "")
    raw = json.dumps({"kind": info.title, "metadata": metadata, "spec": spec}).encode()
    for form in output.Form:
        output.show(info, [(key, KeyValue(key.path, raw, 1, 1))], form, single=True)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"5", b"null", b"\xff"])
def test_what_is_no_object_can_be_shown(raw: bytes) -> None:
    for info in KINDS:
        key = ResourceKey(info.kind, "default", "x" if info.namespaced else "")
        for form in output.Form:
            output.show(info, [(key, KeyValue(key.path, raw, 1, 1))], form, single=True)


OBJECTS = [
    (key, raw)
    for _, path, raw in recorded_writes()
    if isinstance(key := parse(path), ResourceKey) and BY_KIND[key.kind].writable
]
PARTS = st.sampled_from(("metadata", "spec", "status", "kind", "labels", "annotations", "name"))
PATCHES = JUNK | st.dictionaries(PARTS, JUNK | st.dictionaries(PARTS, JUNK, max_size=2), max_size=2)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(("add", "remove", "replace", "test", "move", "copy")),
            "path": st.sampled_from(("", "/", "/spec", "/spec/x", "/metadata/labels", "/metadata")),
        },
        optional={"value": JUNK, "from": st.sampled_from(("/spec", "/metadata", "/none"))},
    ),
    max_size=3,
)


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.sampled_from(OBJECTS), PATCHES | OPERATIONS)
def test_a_patch_is_refused_with_a_sentence_or_leaves_a_good_object(
    stored: tuple[ResourceKey, bytes], wanted: Any
) -> None:
    key, raw = stored
    form = Form.JSON if isinstance(wanted, list) else Form.MERGE
    try:
        after = patched_text(key, "it", KeyValue(key.path, raw, 1, 1), wanted, form)
        readable(key, after, "it")
    except CommandError:
        return
    assert complaint(key, after) == ""
    before, made = json.loads(raw), json.loads(after)
    for name in ("name", "uid", "creationTimestamp"):
        assert made["metadata"][name] == before["metadata"][name]
