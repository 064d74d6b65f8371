"""Stored objects by the names that users give them."""

from __future__ import annotations

from felix_py.ctl import policies
from felix_py.ctl.errors import NotThere
from felix_py.ctl.kinds import KindInfo
from felix_py.ctl.stored_text import fields_of
from felix_py.datastore.keys import ResourceKey, kind_prefix, parse
from felix_py.datastore.store import KeyValue, Store


def listed(store: Store, info: KindInfo, namespace: str = "") -> list[tuple[ResourceKey, KeyValue]]:
    """Every object of a kind, in the order of their keys."""
    items = store.list(kind_prefix(info.kind, namespace)).items
    return [(key, item) for item in items if isinstance(key := parse(item.key), ResourceKey)]


def named(
    store: Store, info: KindInfo, name: str, namespace: str = ""
) -> tuple[ResourceKey, KeyValue]:
    """The object of this name; a policy that Calico stored under an older name, too. Raises NotThere."""
    key = ResourceKey(info.kind, name, namespace)
    item = store.get(key.path)
    if item is not None:
        return key, item
    if info.kind in policies.TIERED:
        for other, found in listed(store, info, namespace):
            if _shown(other, found) == name:
                return other, found
    where = f" in namespace {namespace}" if namespace else ""
    raise NotThere(f"{info.title}({name}): not there{where}")


def _shown(key: ResourceKey, item: KeyValue) -> str:
    return policies.shown_name(key, fields_of(item.value) or {})
