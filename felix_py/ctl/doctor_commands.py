"""`felixctl doctor`: arguments and options."""

from __future__ import annotations

from typing import Annotated

import typer

from felix_py.ctl import doctor as verb
from felix_py.ctl import output

PlainOutput = Annotated[output.PlainForm, typer.Option("-o", "--output")]
Others = Annotated[
    list[str] | None, typer.Argument(metavar="[NODE]...", help="look only at the ways to these")
]


def doctor(
    context: typer.Context,
    nodes: Others = None,
    via: Annotated[str, typer.Option(help='how to reach other nodes: "ssh {node}"')] = "",
    form: PlainOutput = output.PlainForm.TABLE,
    *,
    everywhere: Annotated[
        bool, typer.Option("--all", help="look at the other nodes, too, by --via or ctl.via")
    ] = False,
    facts: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """What is wrong with the underlay as this node sees it: each finding with evidence and a remedy.

    Exit status 2 when something is.
    """
    if facts:
        verb.facts(context.obj, nodes or [])
    elif not verb.doctor(context.obj, nodes or [], form, via=via, everywhere=everywhere):
        raise typer.Exit(output.SOMETHING_IS_WRONG)


def register(app: typer.Typer) -> None:
    """Add it to felixctl."""
    app.command("doctor")(doctor)
