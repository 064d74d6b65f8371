"""The commands below `felixctl ipam`."""

from __future__ import annotations

from typing import Annotated

import typer

from felix_py.ctl import ipam, output

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
