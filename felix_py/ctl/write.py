"""`felixctl create`, `apply`, `delete`: documents of files in their order, or one object by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from felix_py.ctl import rules
from felix_py.ctl.connection import Session
from felix_py.ctl.documents import DEFAULT_NAMESPACE, Document, read_all
from felix_py.ctl.errors import CommandError, NotThere
from felix_py.ctl.kinds import KindInfo, find_writable
from felix_py.ctl.removal import remove
from felix_py.ctl.writer import Writer, check
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.store import Store


def create(session: Session, files: Sequence[str], namespace: str) -> Iterator[str]:
    """Create every document; stops at the first that cannot be. All are checked before the first."""
    yield from _each(session, files, namespace, lambda writer, document: writer.create(document))


def apply(session: Session, files: Sequence[str], namespace: str) -> Iterator[str]:
    """Create or replace every document, in the same way."""
    yield from _each(session, files, namespace, lambda writer, document: writer.apply(document))


def delete_files(
    session: Session, files: Sequence[str], namespace: str, *, skip_missing: bool
) -> Iterator[str]:
    """Delete what the files name, the last one first."""
    documents = [rules.complete(document) for document in read_all(files, namespace)]
    with session.store() as store:
        for document in reversed(documents):
            yield _delete(
                store,
                document.info,
                document.key,
                skip_missing=skip_missing,
                resource_version=document.resource_version,
            )


def delete_named(
    session: Session, word: str, names: Sequence[str], namespace: str, *, skip_missing: bool
) -> Iterator[str]:
    """Delete objects of one kind by name."""
    info = find_writable(word)
    if not names:
        raise CommandError(f"delete {word}: name what to delete, or give -f")
    with session.store() as store:
        for name in names:
            where = (namespace or DEFAULT_NAMESPACE) if info.namespaced else ""
            yield _delete(
                store, info, ResourceKey(info.kind, name, where), skip_missing=skip_missing
            )


def _each(
    session: Session,
    files: Sequence[str],
    namespace: str,
    act: Callable[[Writer, Document], str],
) -> Iterator[str]:
    documents = read_all(files, namespace)
    for document in documents:
        check(document)
    with session.store() as store:
        writer = Writer(store)
        for document in documents:
            yield act(writer, document)


def _delete(
    store: Store,
    info: KindInfo,
    key: ResourceKey,
    *,
    skip_missing: bool,
    resource_version: str = "",
) -> str:
    title = f"{info.title}({key.name})"
    try:
        return remove(store, key, title, resource_version)
    except NotThere:
        if skip_missing:
            return f"{title} was not there"
        raise
