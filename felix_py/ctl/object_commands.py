"""The commands `replace`, `patch`, `validate`, `convert`: their arguments and options."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from felix_py.ctl import conversion, output, plan_commands, write
from felix_py.ctl import patch as patch_verb
from felix_py.ctl.errors import CommandError
from felix_py.ctl.writing import Mode

Files = Annotated[list[str], typer.Option("-f", "--filename", help="file, folder or - ")]
Namespace = Annotated[str, typer.Option("-n", "--namespace")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say it, write nothing")]
Diff = Annotated[bool, typer.Option("--diff", help="print the lines that differ")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="ippool, bgppeer, node, ... or an alias")]


class Text(StrEnum):
    """The `-o` of verbs that print files."""

    YAML = "yaml"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(replace)
    app.command()(patch)
    app.command()(validate)
    app.command()(convert)


def replace(
    context: typer.Context,
    files: Files,
    namespace: Namespace = "",
    *,
    yes: plan_commands.Yes = False,
    dry_run: DryRun = False,
    diff: Diff = False,
) -> None:
    """Put the objects of files in the place of those that are there."""
    mode = Mode(dry_run, diff, plan_commands.whoever_is_there(yes=yes))
    with plan_commands.refusals():
        for line in write.replace(context.obj, files, namespace, mode=mode):
            print(line)


def patch(  # noqa: PLR0913  the options of the verb
    context: typer.Context,
    kind: Kind,
    name: str,
    text: Annotated[str, typer.Option("-p", "--patch", help="YAML or JSON")] = "",
    file: Annotated[str, typer.Option("--patch-file", help="file or -")] = "",
    form: Annotated[patch_verb.Form, typer.Option("-t", "--type")] = patch_verb.Form.STRATEGIC,
    *,
    namespace: Namespace = "",
    yes: plan_commands.Yes = False,
    dry_run: DryRun = False,
    diff: Diff = False,
) -> None:
    """Change parts of one object."""
    if bool(text) == bool(file):
        raise CommandError("patch: give either -p PATCH or --patch-file FILE")
    if file:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    mode = Mode(dry_run, diff, plan_commands.whoever_is_there(yes=yes))
    with plan_commands.refusals():
        print(patch_verb.patch(context.obj, kind, name, text, form, namespace=namespace, mode=mode))


def validate(files: Files, namespace: Namespace = "") -> None:
    """Check files without a datastore; exit status 2 when something is wrong."""
    good = True
    for valid, line in write.validate(files, namespace):
        good = good and valid
        print(line)
    if not good:
        raise typer.Exit(output.SOMETHING_IS_WRONG)


def convert(
    files: Files,
    form: Annotated[Text, typer.Option("-o", "--output")] = Text.YAML,
    *,
    ignore_validation: Annotated[bool, typer.Option("--ignore-validation")] = False,
) -> None:
    """Print files of Calico's API v1 as files of v3."""
    conversion.convert(files, form.value, validate=not ignore_validation)
