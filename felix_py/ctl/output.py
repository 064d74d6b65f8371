"""How resources are shown: table, wide, yaml, json, name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from felix_py.ctl import columns, policies, yaml_text
from felix_py.ctl.kinds import KindInfo
from felix_py.ctl.stored_text import complaint
from felix_py.datastore.codec import decode
from felix_py.datastore.codec_documents import API_VERSION
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import GenericResource, Invalid
from felix_py.datastore.store import KeyValue

SOMETHING_IS_WRONG = 2
"""The exit status of `status` and `ipam check` that worked and found something."""

OF_THE_CLUSTER = frozenset({"uid", "resourceVersion", "creationTimestamp", "ownerReferences"})
"""Metadata that means nothing in another cluster."""

PIPE_WIDTH = 500
"""Columns when the output is no terminal: nothing is cut for a program that reads it."""


class Form(StrEnum):
    """The `-o` of every verb that shows something."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    NAME = "name"


class PlainForm(StrEnum):
    """The `-o` of verbs that show no resources."""

    TABLE = "table"
    JSON = "json"


def console() -> Console:
    """Standard output for people: colours and width of the terminal, plain in a pipe."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=PIPE_WIDTH, no_color=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings, columns as wide as their content."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, no_wrap=not sys.stdout.isatty(), overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console().print(made)


def show(
    info: KindInfo,
    found: Sequence[tuple[ResourceKey, KeyValue]],
    form: Form,
    *,
    single: bool,
    export: bool = False,
) -> str | None:
    """Print objects of a kind; `single`: one was asked for by name, so no list around it.

    export: without what belongs to this cluster, for another one.
    """
    if form in {Form.TABLE, Form.WIDE}:
        _show_table(info, found, wide=form is Form.WIDE)
        return None
    if form is Form.NAME:
        for key, item in found:
            print(f"{info.kind.value}/{_name(key, item)}")
        return None
    objects = [as_shown(key, item, export=export) for key, item in found]
    document: dict[str, Any] = (
        objects[0]
        if single and len(objects) == 1
        else {"kind": f"{info.title}List", "apiVersion": API_VERSION, "items": objects}
    )
    write: Callable[[object], str] = yaml_text.render if form is Form.YAML else _json
    sys.stdout.write(write(document))
    return None


def as_shown(key: ResourceKey, item: KeyValue, *, export: bool = False) -> dict[str, Any]:
    """The stored object with its resourceVersion, which Calico never stores, as users name it."""
    try:
        loaded = json.loads(item.value)
    except ValueError:
        loaded = None
    if not isinstance(loaded, dict):
        return {"invalid": item.value.decode("utf-8", "replace")}
    metadata = loaded.get("metadata")
    loaded["metadata"] = {
        **(metadata if isinstance(metadata, dict) else {}),
        "resourceVersion": str(item.mod_revision),
    }
    shown = policies.shown(key, loaded)
    if export:
        shown["metadata"] = {
            name: value for name, value in shown["metadata"].items() if name not in OF_THE_CLUSTER
        }
    return shown


def json_text(document: object) -> str:
    """Indented JSON with a final newline."""
    return _json(document)


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _show_table(
    info: KindInfo, found: Sequence[tuple[ResourceKey, KeyValue]], *, wide: bool
) -> None:
    headings = columns.headings(info.kind, wide=wide)
    rows = []
    for key, item in found:
        value = decode(key, item.value)
        if isinstance(value, Invalid):
            rows.append(_invalid(info, key, value.reason, len(headings)))
        elif isinstance(value, GenericResource) and (reason := complaint(key, item.value)):
            rows.append(_invalid(info, key, reason, len(headings)))
        else:
            shown = replace(key, name=_name(key, item))
            rows.append(columns.row(shown, value, wide=wide))
    table(headings, rows)


def _invalid(info: KindInfo, key: ResourceKey, reason: str, width: int) -> list[str]:
    first = [key.namespace, key.name] if info.namespaced else [key.name]
    return [*first, f"INVALID: {reason}", *[""] * (width - len(first) - 1)][
        : max(width, len(first) + 1)
    ]


def _name(key: ResourceKey, item: KeyValue) -> str:
    if key.kind not in policies.TIERED:
        return key.name
    return str(as_shown(key, item).get("metadata", {}).get("name", key.name))
