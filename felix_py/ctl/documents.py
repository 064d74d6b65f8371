"""What a user wants written: Calico YAML from files, folders and standard input to typed documents."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from felix_py.ctl import yaml_text
from felix_py.ctl.calc.convert import modern
from felix_py.ctl.errors import CommandError
from felix_py.ctl.kinds import KindInfo, find_writable
from felix_py.ctl.schema.objects import METADATA, STATUS
from felix_py.ctl.schema.scalars import DNS_LABEL, DNS_NAME
from felix_py.ctl.schema.shape import Anything, Fields, Shape, Stranger
from felix_py.datastore.codec_documents import API_VERSION
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind

MAX_FILE_BYTES = 16 * 1024 * 1024
"""A larger file is refused: it is not resources for this tool."""
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
DEFAULT_NAMESPACE = "default"
MAX_LISTED = 40
"""Fields that an error lists; of more than these only those that look alike."""


@dataclass(frozen=True, slots=True)
class Document:
    """One resource as the user wrote it; name and labels may still be filled in for an endpoint."""

    info: KindInfo
    key: ResourceKey
    source: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    resource_version: str = ""
    uid: str = ""
    status: Mapping[str, Any] | None = None
    created_at: str = ""
    generate_name: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)
    """ownerReferences and finalizers: kept as given."""
    strangers: tuple[Stranger, ...] = ()
    """Fields that the kind's table does not know: fine only where they are stored."""

    @property
    def title(self) -> str:
        """`IPPool(main)`, with the namespace before the name where there is one."""
        where = f"{self.key.namespace}/" if self.key.namespace else ""
        return f"{self.info.title}({where}{self.key.name})"


def read_all(paths: Iterable[str], namespace: str = "") -> list[Document]:
    """Every document of the files, of the folders' files and of `-`; tiers come first, as policies need
    them. Raises CommandError."""
    found = [
        document
        for source, text in texts(paths)
        for raw in yaml_text.parse(text, source)
        for document in _documents(raw, source, namespace)
    ]
    if not found:
        raise CommandError(f"{', '.join(paths) or '-f'}: no resources in there")
    return sorted(found, key=lambda document: document.key.kind is not Kind.TIER)


def read_each(paths: Iterable[str], namespace: str = "") -> Iterator[Document | CommandError]:
    """The same in their order, with what is wrong in the place of those that cannot be read."""
    for source, text in texts(paths):
        for raw in yaml_text.parse(text, source):
            try:
                yield from list(_documents(raw, source, namespace))
            except CommandError as error:
                yield error


def of_mapping(raw: dict[str, Any], source: str) -> Document:
    """One document that did not come from a file. Raises CommandError."""
    found = list(_documents(raw, source, ""))
    if len(found) != 1:
        raise CommandError(f"{source}: {len(found)} resources where one is wanted")
    return found[0]


def refuse_strangers(document: Document, stored: Mapping[str, Any] | None = None) -> None:
    """Raises CommandError for a field that neither the kind's table nor the stored object has."""
    held = {each.path for each in _strangers(document.info, stored or {})}
    for each in document.strangers:
        if each.path in held:
            continue
        name = each.path.rpartition(".")[2]
        near = difflib.get_close_matches(name, each.known, n=3)
        known = near if near or len(each.known) > MAX_LISTED else sorted(each.known)
        raise CommandError(
            f"{document.source}: {document.title}: {each.path}: no such field"
            + (f"; known are {', '.join(known)}" if known else "")
        )


def texts(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Where it stood and what was in it, of files, of folders' files and of `-`. Raises CommandError."""
    for name in paths:
        if name == "-":
            yield "standard input", sys.stdin.read(MAX_FILE_BYTES)
            continue
        path = Path(name)
        files = [path]
        if path.is_dir():
            files = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES)
        for file in files:
            yield str(file), _read(file)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CommandError(f"{path}: over {MAX_FILE_BYTES} bytes; split it")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: cannot be read: {error}") from None


def _documents(raw: dict[str, Any], source: str, namespace: str) -> Iterator[Document]:
    kind = raw.get("kind")
    if not isinstance(kind, str) or not kind:
        raise CommandError(f"{source}: a document without kind; write kind: IPPool, for example")
    if kind.endswith("List"):
        items = raw.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise CommandError(f"{source}: {kind}.items must be a list of resources")
        default = kind.removesuffix("List")
        for item in items:
            merged = {"kind": default, "apiVersion": raw.get("apiVersion"), **item}
            yield from _documents(merged, source, namespace)
        return
    if raw.get("apiVersion") != API_VERSION:
        raise CommandError(
            f"{source}: {kind}: apiVersion is {raw.get('apiVersion')!r}; write {API_VERSION}"
        )
    yield _document(find_writable(kind), modern(raw), source, namespace)


def _document(info: KindInfo, raw: dict[str, Any], source: str, namespace: str) -> Document:
    metadata = _mapping(raw, "metadata", info, source)
    spec = _mapping(raw, "spec", info, source)
    name = metadata.get("name") or ""
    title = f"{info.title}({name})"
    try:
        metadata = METADATA.read("metadata", metadata)
        status = STATUS.get(info.kind, Fields({})).read("status", raw.get("status") or {})
    except BadField as error:
        raise CommandError(f"{title}: {error}") from None
    return Document(
        info=info,
        key=ResourceKey(
            info.kind, _name(info, name, source), _namespace(info, metadata, title, namespace)
        ),
        source=source,
        spec={name: value for name, value in spec.items() if value is not None},
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        resource_version=_text(metadata.get("resourceVersion")),
        uid=metadata.get("uid", ""),
        status=status or None,
        created_at=metadata.get("creationTimestamp", ""),
        generate_name=metadata.get("generateName", ""),
        others={
            name: metadata[name] for name in ("ownerReferences", "finalizers") if metadata.get(name)
        },
        strangers=tuple(_strangers(info, raw)),
    )


def _name(info: KindInfo, name: object, source: str) -> str:
    if not name and info.kind is Kind.WORKLOAD_ENDPOINT:
        return ""
    if not isinstance(name, str) or not name:
        raise CommandError(f"{source}: {info.title}: metadata.name is missing")
    if not DNS_NAME.fullmatch(name) or len(name) > 253:
        raise CommandError(
            f"{info.title}({name}): metadata.name must be lower case letters, digits, '-' and '.'"
        )
    return name


def _namespace(info: KindInfo, metadata: dict[str, Any], title: str, given: str) -> str:
    stated = _text(metadata.get("namespace"))
    if not info.namespaced:
        if stated:
            raise CommandError(f"{title}: metadata.namespace: {info.title} has none; remove it")
        return ""
    namespace = stated or given or DEFAULT_NAMESPACE
    if not DNS_LABEL.fullmatch(namespace) or len(namespace) > 63:
        raise CommandError(f"{title}: metadata.namespace: {namespace!r} is not a DNS label")
    return namespace


def _mapping(raw: dict[str, Any], part: str, info: KindInfo, source: str) -> dict[str, Any]:
    value = raw.get(part)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise CommandError(f"{source}: {info.title}: {part} must be a mapping")
    return value


def _strangers(info: KindInfo, raw: Mapping[str, Any]) -> Iterator[Stranger]:
    """What of an object no table knows; paths as people write them."""
    anything = Anything()
    parts: dict[str, Shape] = dict.fromkeys(("kind", "apiVersion", "status"), anything)
    parts |= {"metadata": METADATA, "spec": info.shape}
    for each in Fields(parts).strangers("", raw):
        yield Stranger(each.path.removeprefix("."), each.known)


def _text(value: object) -> str:
    return "" if value is None else str(value)
