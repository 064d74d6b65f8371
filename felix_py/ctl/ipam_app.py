"""The commands below `felixctl ipam`."""

from __future__ import annotations

from typing import Annotated

import typer

from felix_py.ctl import ipam, ipam_check, output

app = typer.Typer(help="Addresses: who holds what.", no_args_is_help=True)

PlainOutput = Annotated[output.PlainForm, typer.Option("-o", "--output")]


@app.command()
def show(
    context: typer.Context,
    address: Annotated[str, typer.Option("--ip", help="who holds this address")] = "",
    block: Annotated[str, typer.Option("--block", help="the holders in this block")] = "",
    node: Annotated[str, typer.Option("--node", help="the holders in this node's blocks")] = "",
    form: PlainOutput = output.PlainForm.TABLE,
) -> None:
    """Pools and how full they are, or the holders of an address, a block, a node's blocks."""
    ipam.show(context.obj, ipam.Selection(address, block, node), form)


@app.command()
def check(
    context: typer.Context,
    form: PlainOutput = output.PlainForm.TABLE,
    *,
    kernel: Annotated[bool, typer.Option(help="also compare this node's routes")] = True,
) -> None:
    """What is leaked, doubled or stray, with what to do; exit status 2 when something is."""
    if not ipam_check.check(context.obj, form, kernel=kernel):
        raise typer.Exit(output.SOMETHING_IS_WRONG)
