"""The commands below `felixctl mtu`."""

from __future__ import annotations

from typing import Annotated

import typer

from felix_py.ctl import mtu, output

app = typer.Typer(help="How large this node's packets may be.", no_args_is_help=True)

PlainOutput = Annotated[output.PlainForm, typer.Option("-o", "--output")]
Pods = Annotated[
    list[str] | None, typer.Argument(metavar="[POD]...", help="namespace/name, container or link")
]


@app.command()
def show(context: typer.Context, form: PlainOutput = output.PlainForm.TABLE) -> None:
    """What pods should have, and those that have another; exit status 2 when packets are lost."""
    if not mtu.show(context.obj, form):
        raise typer.Exit(output.SOMETHING_IS_WRONG)


@app.command()
def fix(context: typer.Context, pods: Pods = None) -> None:
    """Give these pods, or all of this node, the MTU that is right: both ends, while they run."""
    for line in mtu.fix(context.obj, pods or []):
        print(line)
