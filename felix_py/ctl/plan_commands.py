"""`felixctl plan`, and how `apply` asks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from felix_py.ctl import output, plan_view
from felix_py.ctl.connection import Session
from felix_py.ctl.documents import read_all
from felix_py.ctl.plan import Plan, plan_deletions, plan_writes
from felix_py.ctl.plan_apply import Consent, NotAgreed
from felix_py.ctl.writer import check

Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(show_plan)


def show_plan(
    context: typer.Context,
    files: Annotated[list[str], typer.Option("-f", "--filename", help="file, folder or - ")],
    namespace: Annotated[str, typer.Option("-n", "--namespace")] = "",
    form: Annotated[output.PlainForm, typer.Option("-o", "--output")] = output.PlainForm.TABLE,
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="of deleting what the files name")
    ] = False,
) -> None:
    """Say what applying these files would do, and write nothing; exit status 2 when something that
    works now would be lost."""
    plan = _planned(context.obj, files, namespace, delete=delete)
    if form is output.PlainForm.JSON:
        sys.stdout.write(output.json_text(plan_view.as_json(plan)))
    else:
        plan_view.show(plan, sys.stdout)
    if plan.loses:
        raise typer.Exit(output.SOMETHING_IS_WRONG)


def consent(*, yes: bool) -> Consent:
    """Who agrees to an apply: `--yes`, or whoever sits at the terminal."""
    asks = sys.stdin.isatty() and not yes
    return Consent(yes=yes, ask=_asked if asks else None)


def whoever_is_there(*, yes: bool) -> Consent | None:
    """Who is asked before an object is written or deleted by verbs other than apply: whoever sits at the
    terminal; in a script nobody."""
    return consent(yes=yes) if sys.stdin.isatty() and not yes else None


@contextmanager
def refusals() -> Iterator[None]:
    """What nobody agreed to ends with a sentence and exit status 2."""
    try:
        yield
    except NotAgreed as error:
        sys.stderr.write(f"felixctl: {error}\n")
        raise typer.Exit(output.SOMETHING_IS_WRONG) from None


def _planned(session: Session, files: list[str], namespace: str, *, delete: bool) -> Plan:
    documents = read_all(files, namespace)
    if not delete:
        for document in documents:
            check(document, stored=True)
    with session.store() as store:
        if delete:
            return plan_deletions(store, [(each.key, each.title) for each in documents])
        return plan_writes(store, documents)


def _asked(question: str) -> bool:
    return typer.confirm(question, err=True)
