"""`felixctl patch`: parts of one object, as a merge patch or a list of JSON patch operations.

Calico's types name no keys to merge lists by, so a strategic patch is a merge patch (RFC 7396).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from felix_py.ctl import policies, rules, yaml_text
from felix_py.ctl.calc.json_patch import PatchError, merge_patch, operate
from felix_py.ctl.connection import Session
from felix_py.ctl.documents import DEFAULT_NAMESPACE, of_mapping, refuse_strangers
from felix_py.ctl.errors import CommandError, Conflict
from felix_py.ctl.finding import named
from felix_py.ctl.kinds import find_writable
from felix_py.ctl.stored_text import loaded, mapping
from felix_py.ctl.writing import AS_ASKED, Mode
from felix_py.datastore.codec_json import dumps
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.store import KeyValue

SOURCE = "the patch"
_FIXED = ("name", "namespace", "uid", "creationTimestamp")
"""Metadata that no patch may change."""


class Form(StrEnum):
    """The `--type` of a patch."""

    STRATEGIC = "strategic"
    MERGE = "merge"
    JSON = "json"


def patch(  # noqa: PLR0913  the options of the verb
    session: Session,
    word: str,
    name: str,
    text: str,
    form: Form = Form.STRATEGIC,
    *,
    namespace: str = "",
    mode: Mode = AS_ASKED,
) -> str:
    """Change one object; what was done, for people. Raises CommandError."""
    info = find_writable(word)
    title = f"{info.title}({name})"
    wanted = yaml_text.parse_one(text, SOURCE)
    where = (namespace or DEFAULT_NAMESPACE) if info.namespaced else ""
    with session.store() as store:
        key, _ = named(store, info, name, where)
        return mode.writer(store).edit(
            key, title, lambda stored: patched_text(key, title, stored, wanted, form)
        )


def patched_text(
    key: ResourceKey, title: str, stored: KeyValue, wanted: object, form: Form
) -> bytes:
    """The stored object with the patch, in Calico's form; all else survives. Raises CommandError."""
    held = policies.shown(key, loaded(stored.value, title))
    revision = str(stored.mod_revision)
    before = {**held, "metadata": {**mapping(held.get("metadata")), "resourceVersion": revision}}
    try:
        after = operate(before, wanted) if form is Form.JSON else merge_patch(before, wanted)
    except PatchError as error:
        raise CommandError(f"{title}: {error}") from None
    if not isinstance(after, dict):
        raise CommandError(f"{title}: {SOURCE} leaves no object")
    _check_identity(title, before, after)
    document = of_mapping(after, SOURCE)
    refuse_strangers(document, held)
    document = rules.complete(document)
    metadata = dict(after["metadata"])
    del metadata["resourceVersion"]
    metadata["name"] = key.name
    for part, values in (("labels", document.labels), ("annotations", document.annotations)):
        metadata.pop(part, None)
        if values:
            metadata[part] = dict(sorted(values.items()))
    result = {**after, "metadata": metadata, "spec": document.spec}
    return dumps({"kind": result.pop("kind"), "apiVersion": result.pop("apiVersion"), **result})


def _check_identity(title: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    old, new = before["metadata"], mapping(after.get("metadata"))
    if new.get("resourceVersion") != old["resourceVersion"]:
        raise Conflict(
            f"{title}: resourceVersion is {old['resourceVersion']} now; look again, or leave it out"
        )
    for part, was, now in (
        *((f"metadata.{name}", old.get(name), new.get(name)) for name in _FIXED),
        ("kind", before.get("kind"), after.get("kind")),
    ):
        if was != now:
            raise CommandError(f"{title}: {part} cannot be patched")
