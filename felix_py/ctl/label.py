"""`felixctl label`: change single labels, leave everything else as it is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from felix_py.ctl.connection import Session
from felix_py.ctl.documents import DEFAULT_NAMESPACE
from felix_py.ctl.errors import CommandError
from felix_py.ctl.kinds import find_writable
from felix_py.ctl.writer import Writer
from felix_py.datastore.codec import rewrite
from felix_py.datastore.keys import ResourceKey

NAME_PART = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
KEY = re.compile(rf"([a-z0-9.-]{{1,253}}/)?{NAME_PART}")
VALUE = re.compile(rf"({NAME_PART})?")


def parse_changes(words: Sequence[str]) -> dict[str, str | None]:
    """`key=value` sets, `key-` removes. Raises CommandError."""
    changes: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals and name.endswith("-"):
            name = name[:-1]
        elif not equals:
            raise CommandError(f"{word!r}: write key=value to set a label, key- to remove one")
        if not KEY.fullmatch(name) or not VALUE.fullmatch(value):
            raise CommandError(f"{word!r} is not a label; see the syntax of Kubernetes labels")
        changes[name] = value if equals else None
    return changes


def label(
    session: Session,
    word: str,
    name: str,
    words: Sequence[str],
    *,
    namespace: str = "",
    overwrite: bool = False,
) -> str:
    """Set and remove labels of one object; what was done, for people."""
    info = find_writable(word)
    key = ResourceKey(info.kind, name, (namespace or DEFAULT_NAMESPACE) if info.namespaced else "")
    title = f"{info.title}({name})"
    changes = parse_changes(words)

    def change(raw: bytes) -> bytes:
        if not overwrite:
            _refuse_overwriting(raw, changes, title)
        return rewrite(raw, labels=changes)

    with session.store() as store:
        Writer(store).edit(key, title, change)
    return f"{title} labelled"


def _refuse_overwriting(raw: bytes, changes: Mapping[str, str | None], title: str) -> None:
    labels = (json.loads(raw).get("metadata") or {}).get("labels") or {}
    for name, value in changes.items():
        if value is not None and labels.get(name, value) != value:
            raise CommandError(
                f"{title}: label {name} is {labels[name]!r} already; add --overwrite to change it"
            )
