"""`felixctl label`: change single labels, leave everything else as it is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from felix_py.ctl import policies, rules
from felix_py.ctl.connection import Session
from felix_py.ctl.documents import DEFAULT_NAMESPACE
from felix_py.ctl.errors import CommandError
from felix_py.ctl.finding import named
from felix_py.ctl.kinds import find_writable
from felix_py.ctl.schema.scalars import LABEL_NAME, LABEL_VALUE
from felix_py.ctl.writing import AS_ASKED, Mode
from felix_py.datastore.codec import rewrite
from felix_py.datastore.store import KeyValue


def parse_changes(words: Sequence[str]) -> dict[str, str | None]:
    """`key=value` sets, `key-` removes. Raises CommandError."""
    changes: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals and name.endswith("-"):
            name = name[:-1]
        elif not equals:
            raise CommandError(f"{word!r}: write key=value to set a label, key- to remove one")
        if not LABEL_NAME.fullmatch(name) or not LABEL_VALUE.fullmatch(value):
            raise CommandError(f"{word!r} is not a label; see the syntax of Kubernetes labels")
        changes[name] = value if equals else None
    return changes


def label(  # noqa: PLR0913  the options of the verb
    session: Session,
    word: str,
    name: str,
    words: Sequence[str],
    *,
    namespace: str = "",
    overwrite: bool = False,
    mode: Mode = AS_ASKED,
) -> str:
    """Set and remove labels of one object; what was done, for people."""
    info = find_writable(word)
    title = f"{info.title}({name})"
    changes = parse_changes(words)
    for own in rules.OWN_LABELS.get(info.kind, frozenset()) & set(changes):
        raise CommandError(f"{title}: label {own} follows from the object; change that")
    where = (namespace or DEFAULT_NAMESPACE) if info.namespaced else ""

    def change(stored: KeyValue) -> bytes:
        if not overwrite:
            _refuse_overwriting(stored.value, changes, title)
        return rewrite(stored.value, labels=changes)

    with session.store() as store:
        key, _ = named(store, info, name, where)
        policies.refuse_mirrored(key, title)
        return mode.writer(store).edit(key, title, change)


def _refuse_overwriting(raw: bytes, changes: Mapping[str, str | None], title: str) -> None:
    labels = (json.loads(raw).get("metadata") or {}).get("labels") or {}
    for name, value in changes.items():
        if value is not None and labels.get(name, value) != value:
            raise CommandError(
                f"{title}: label {name} is {labels[name]!r} already; add --overwrite to change it"
            )
