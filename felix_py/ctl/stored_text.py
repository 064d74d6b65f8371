"""Documents as the text that will be stored; of what is stored already, everything survives that the
user did not mean."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from felix_py.ctl import rules
from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError
from felix_py.ctl.kinds import BY_KIND
from felix_py.datastore.codec import decode, render_new
from felix_py.datastore.codec_documents import API_VERSION, KIND_NAMES
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.codec_json import dumps
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Invalid, Kind, WorkloadEndpoint
from felix_py.datastore.values import Value

_DAEMONS_WRITE = frozenset({Kind.NODE, Kind.PROFILE})
_OF_THE_FILE = frozenset({"labels", "annotations", "resourceVersion", "selfLink"})
"""Metadata that is not kept as stored: the file's, or never stored."""


def now_text() -> str:
    """Now, as Calico writes times: RFC 3339 UTC in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_text(document: Document) -> bytes:
    """An object that is not stored yet; identity and time are made where the document has none."""
    return render_new(
        document.key,
        document.spec,
        uid=document.uid or str(uuid.uuid4()),
        created_at=document.created_at or now_text(),
        labels=document.labels,
        annotations=document.annotations,
        status=document.status,
        generate_name=document.generate_name,
        others=document.others,
    )


def merged_text(document: Document, stored: bytes, *, whole: bool) -> bytes:
    """A stored object with the document's spec and labels; other metadata and the status as stored.

    Annotations and fields of the spec that no table knows are kept, too, unless the document stands for
    the whole object; what daemons keep in annotations always is.
    """
    old = loaded(stored, document.title)
    metadata = mapping(old.get("metadata"))
    kept = {
        name: text
        for name, text in mapping(metadata.get("annotations")).items()
        if not whole or _is_a_daemons(document.key.kind, name)
    }
    shape = document.info.shape
    spec = document.spec if whole else shape.with_strangers(document.spec, mapping(old.get("spec")))
    fresh = json.loads(
        render_new(
            document.key,
            spec,
            uid=str(metadata.get("uid") or uuid.uuid4()),
            created_at=str(metadata.get("creationTimestamp") or now_text()),
            labels=document.labels,
            annotations={**kept, **document.annotations},
            status=mapping(old["status"]) if "status" in old else document.status,
        )
    )
    others = {name: value for name, value in metadata.items() if name not in _OF_THE_FILE}
    fresh["metadata"] = {**others, **fresh["metadata"]}
    foreign = {name: value for name, value in old.items() if name not in {*fresh, "status"}}
    return dumps({**fresh, **foreign})


def _is_a_daemons(kind: Kind, annotation: str) -> bool:
    """Whether a daemon keeps this in an object of this kind; in others, our annotations are the user's."""
    return kind in _DAEMONS_WRITE and annotation.startswith(rules.OWN_ANNOTATIONS)


def identified(key: ResourceKey, raw: bytes, title: str) -> bytes:
    """The object with the kind, uid and time that hand-written ones lack: Calico refuses to change such."""
    document = loaded(raw, title)
    metadata = dict(mapping(document.get("metadata")))
    metadata.setdefault("name", key.name)
    metadata["uid"] = metadata.get("uid") or str(uuid.uuid4())
    metadata["creationTimestamp"] = metadata.get("creationTimestamp") or now_text()
    head = {"kind": KIND_NAMES[key.kind], "apiVersion": API_VERSION, "metadata": metadata}
    rest = {name: value for name, value in document.items() if name not in head}
    return dumps({**head, **rest})


def readable(key: ResourceKey, raw: bytes, title: str) -> Value:
    """What our daemons will read; an object that they would pass over is not written."""
    value = decode(key, raw)
    if isinstance(value, Invalid):
        raise CommandError(f"{title}: {value.reason}")
    if isinstance(value, WorkloadEndpoint) and isinstance(value.qos, Invalid):
        raise CommandError(f"{title}: {value.qos.reason}")
    return value


def complaint(key: ResourceKey, raw: bytes) -> str:
    """Why a stored object cannot be used, by the codecs or by its kind's table; empty: it can."""
    value = decode(key, raw)
    if isinstance(value, Invalid):
        return value.reason
    spec = loaded(raw, key.name).get("spec")
    try:
        BY_KIND[key.kind].shape.read("spec", {} if spec is None else spec)
    except BadField as error:
        return str(error)
    return ""


def loaded(raw: bytes, title: str) -> dict[str, Any]:
    """A stored object's fields. Raises CommandError."""
    found = fields_of(raw)
    if found is None:
        raise CommandError(
            f"{title}: what is stored is not an object; delete it and create it anew"
        )
    return found


def fields_of(raw: bytes) -> dict[str, Any] | None:
    """A stored object's fields; None for what is no object."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def mapping(value: object) -> Mapping[str, Any]:
    """The mapping, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}
