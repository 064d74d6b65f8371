"""`felixctl get`: objects as they are stored, the invalid ones by name and reason."""

from __future__ import annotations

from collections.abc import Sequence

from felix_py.ctl import output
from felix_py.ctl.connection import Session
from felix_py.ctl.documents import DEFAULT_NAMESPACE
from felix_py.ctl.errors import NotThere
from felix_py.ctl.kinds import KindInfo, find
from felix_py.datastore.keys import ResourceKey, kind_prefix, parse
from felix_py.datastore.store import KeyValue, Store


def get(
    session: Session,
    word: str,
    names: Sequence[str],
    form: output.Form,
    *,
    namespace: str = "",
    all_namespaces: bool = False,
) -> None:
    """Show some or all objects of a kind. Raises NotThere for a name that is not there."""
    info = find(word)
    where = ""
    if info.namespaced and not all_namespaces:
        where = namespace or (DEFAULT_NAMESPACE if names else "")
    with session.store() as store:
        found = _named(store, info, names, where) if names else listed(store, info, where)
    output.show(info, found, form, single=len(names) == 1)


def listed(store: Store, info: KindInfo, namespace: str = "") -> list[tuple[ResourceKey, KeyValue]]:
    """Every object of a kind, in the order of their keys."""
    items = store.list(kind_prefix(info.kind, namespace)).items
    return [(key, item) for item in items if isinstance(key := parse(item.key), ResourceKey)]


def _named(
    store: Store, info: KindInfo, names: Sequence[str], namespace: str
) -> list[tuple[ResourceKey, KeyValue]]:
    found = []
    for name in names:
        key = ResourceKey(info.kind, name, namespace)
        item = store.get(key.path)
        if item is None:
            where = f" in namespace {namespace}" if namespace else ""
            raise NotThere(f"{info.title}({name}): not there{where}")
        found.append((key, item))
    return found
