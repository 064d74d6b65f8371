"""`felixctl get`: objects as they are stored, the invalid ones by name and reason."""

from __future__ import annotations

from collections.abc import Sequence

from felix_py.ctl import output, rules
from felix_py.ctl.connection import Session
from felix_py.ctl.documents import DEFAULT_NAMESPACE, read_all
from felix_py.ctl.finding import listed, named
from felix_py.ctl.kinds import BY_KIND, KindInfo, find
from felix_py.datastore.codec import render_new
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind
from felix_py.datastore.store import KeyValue, Store

__all__ = ["get", "listed"]

_ALLOW = {"action": "Allow", "source": {}, "destination": {}}


def get(  # noqa: PLR0913  the options of the verb
    session: Session,
    word: str,
    names: Sequence[str],
    form: output.Form,
    *,
    namespace: str = "",
    all_namespaces: bool = False,
    export: bool = False,
) -> None:
    """Show some or all objects of a kind. Raises NotThere for a name that is not there."""
    info = find(word)
    where = ""
    if info.namespaced and not all_namespaces:
        where = namespace or (DEFAULT_NAMESPACE if names else "")
    with session.store() as store:
        found = (
            [_one(store, info, name, where) for name in names]
            if names
            else _all(store, info, where, made_up=not export)
        )
    output.show(info, found, form, single=len(names) == 1, export=export)


def get_files(
    session: Session,
    files: Sequence[str],
    form: output.Form,
    *,
    namespace: str = "",
    export: bool = False,
) -> None:
    """Show what the files name, kind by kind. Raises NotThere for what is not there."""
    documents = [rules.named_by_spec(document) for document in read_all(files, namespace)]
    found: dict[Kind, list[tuple[ResourceKey, KeyValue]]] = {}
    with session.store() as store:
        for document in documents:
            one = _one(store, document.info, document.key.name, document.key.namespace)
            found.setdefault(document.key.kind, []).append(one)
    for number, (kind, objects) in enumerate(found.items()):
        if number and form in {output.Form.YAML, output.Form.TABLE, output.Form.WIDE}:
            print("---" if form is output.Form.YAML else "")
        output.show(BY_KIND[kind], objects, form, single=len(documents) == 1, export=export)


def _all(
    store: Store, info: KindInfo, namespace: str, *, made_up: bool
) -> list[tuple[ResourceKey, KeyValue]]:
    found = listed(store, info, namespace)
    return [*found, _allow_all()] if info.kind is Kind.PROFILE and made_up else found


def _one(store: Store, info: KindInfo, name: str, namespace: str) -> tuple[ResourceKey, KeyValue]:
    if info.kind is Kind.PROFILE and name == rules.ALLOW_ALL:
        return _allow_all()
    return named(store, info, name, namespace)


def _allow_all() -> tuple[ResourceKey, KeyValue]:
    """The profile that Calico's client makes up in every list."""
    key = ResourceKey(Kind.PROFILE, rules.ALLOW_ALL)
    raw = render_new(key, {"ingress": [_ALLOW], "egress": [_ALLOW]}, uid="", created_at="")
    return key, KeyValue(key.path, raw, 1, 1)
