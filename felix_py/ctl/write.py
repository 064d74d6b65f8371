"""`felixctl create`, `apply`, `replace`, `delete`: files in their order, or by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from felix_py.ctl import plan, plan_apply, rules
from felix_py.ctl.change import difference
from felix_py.ctl.connection import Session
from felix_py.ctl.documents import DEFAULT_NAMESPACE, Document, read_all, read_each
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from felix_py.ctl.finding import named
from felix_py.ctl.kinds import KindInfo, find_writable
from felix_py.ctl.plan_apply import Consent
from felix_py.ctl.removal import remove
from felix_py.ctl.writer import Writer, check
from felix_py.ctl.writing import AS_ASKED, Mode
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind
from felix_py.datastore.store import Store


def create(
    session: Session,
    files: Sequence[str],
    namespace: str,
    *,
    mode: Mode = AS_ASKED,
    skip_existing: bool = False,
) -> Iterator[str]:
    """Create every document; stops at the first that cannot be. All are checked before the first."""

    def one(writer: Writer, document: Document) -> str:
        try:
            return writer.create(document)
        except Conflict:
            if skip_existing:
                return f"{document.title} is there already"
            raise

    yield from _each(session, files, namespace, mode, one)


def apply(
    session: Session,
    files: Sequence[str],
    namespace: str,
    *,
    mode: Mode = AS_ASKED,
    consent: Consent | None = None,
) -> Iterator[str]:
    """Create or replace every document, in the same way. Those whose change reaches beyond themselves
    are planned and written first, all or nothing."""
    documents = _checked(files, namespace)
    with session.store() as store:
        writer = _prepared(mode, store, documents)
        planned = [each for each in documents if plan.concerns([each]) and not mode.dry_run]
        done: Mapping[ResourceKey, str] = {}
        if planned:
            done = plan_apply.apply(store, planned, consent or Consent(), mode.show)
        for document in documents:
            yield done[document.key] if document.key in done else writer.apply(document)


def replace(
    session: Session, files: Sequence[str], namespace: str, *, mode: Mode = AS_ASKED
) -> Iterator[str]:
    """Put every document in the place of an object that is there, in the same way."""
    yield from _each(session, files, namespace, mode, lambda writer, one: writer.replace(one))


def validate(files: Sequence[str], namespace: str) -> Iterator[tuple[bool, str]]:
    """For every document, whether it could be written and what to say of it; asks no store."""
    for document in read_each(files, namespace):
        if isinstance(document, CommandError):
            yield False, str(document)
            continue
        try:
            check(document)
            yield True, f"{document.title} is valid"
        except CommandError as error:
            yield False, str(error)


def delete_files(
    session: Session,
    files: Sequence[str],
    namespace: str,
    *,
    skip_missing: bool,
    mode: Mode = AS_ASKED,
) -> Iterator[str]:
    """Delete what the files name, the last one first."""
    documents = [rules.named_by_spec(document) for document in read_all(files, namespace)]
    with session.store() as store:
        for document in reversed(documents):
            yield _delete(
                store,
                document.info,
                (document.key.name, document.key.namespace),
                skip_missing=skip_missing,
                resource_version=document.resource_version,
                mode=mode,
            )


def delete_named(
    session: Session,
    word: str,
    names: Sequence[str],
    namespace: str,
    *,
    skip_missing: bool,
    mode: Mode = AS_ASKED,
) -> Iterator[str]:
    """Delete objects of one kind by name."""
    info = find_writable(word)
    if not names:
        raise CommandError(f"delete {word}: name what to delete, or give -f")
    with session.store() as store:
        for name in names:
            where = (namespace or DEFAULT_NAMESPACE) if info.namespaced else ""
            yield _delete(store, info, (name, where), skip_missing=skip_missing, mode=mode)


def _checked(files: Sequence[str], namespace: str) -> list[Document]:
    documents = read_all(files, namespace)
    for document in documents:
        check(document, stored=True)
    return documents


def _prepared(mode: Mode, store: Store, documents: Iterable[Document]) -> Writer:
    writer = mode.writer(store)
    for document in documents:
        if document.strangers:
            writer.foresee(document)
    return writer


def _each(
    session: Session,
    files: Sequence[str],
    namespace: str,
    mode: Mode,
    act: Callable[[Writer, Document], str],
) -> Iterator[str]:
    documents = _checked(files, namespace)
    with session.store() as store:
        writer = _prepared(mode, store, documents)
        for document in documents:
            yield act(writer, document)


def _delete(
    store: Store,
    info: KindInfo,
    name: tuple[str, str],
    *,
    skip_missing: bool,
    resource_version: str = "",
    mode: Mode = AS_ASKED,
) -> str:
    title = f"{info.title}({name[0]})"
    try:
        if info.kind is Kind.PROFILE and name[0] == rules.ALLOW_ALL:
            raise CommandError(f"{title} is made up by every client; it cannot be deleted")
        key, stored = named(store, info, *name)
        if mode.diff:
            print(difference(key, stored.value, None))
        if mode.consent is not None and not mode.dry_run:
            plan_apply.agree_to_deletion(store, key, title, mode.consent)
        return remove(store, key, title, resource_version, dry_run=mode.dry_run)
    except NotThere:
        if skip_missing:
            return f"{title} was not there"
        raise
