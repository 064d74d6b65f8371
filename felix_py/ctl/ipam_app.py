"""The commands below `felixctl ipam`."""

from __future__ import annotations

from typing import Annotated

import typer

from felix_py.ctl import (
    ipam,
    ipam_assign,
    ipam_check,
    ipam_configure,
    ipam_fix,
    ipam_recover,
    ipam_release,
    ipam_split,
    output,
)
from felix_py.datastore.model import NodeName

app = typer.Typer(help="Addresses: who holds what.", no_args_is_help=True)

PlainOutput = Annotated[output.PlainForm, typer.Option("-o", "--output")]


@app.command()
def show(  # noqa: PLR0913  the options of a command
    context: typer.Context,
    address: Annotated[str, typer.Option("--ip", help="who holds this address")] = "",
    block: Annotated[str, typer.Option("--block", help="the holders in this block")] = "",
    node: Annotated[str, typer.Option("--node", help="the holders in this node's blocks")] = "",
    pod: Annotated[str, typer.Option("--pod", help="what NAMESPACE/NAME holds")] = "",
    form: PlainOutput = output.PlainForm.TABLE,
    *,
    borrowed: Annotated[bool, typer.Option(help="holders of other nodes' addresses")] = False,
) -> None:
    """Pools and how full they are, or the holders of an address, a block, a node's blocks."""
    ipam.show(context.obj, ipam.Selection(address, block, node, pod, borrowed), form)


@app.command()
def assign(
    context: typer.Context,
    service: Annotated[str, typer.Option("--service", help="NAMESPACE/NAME")],
    uid: Annotated[str, typer.Option("--uid", help="metadata.uid of the Service")],
    family: Annotated[str, typer.Option("--family", help="4, 6 or 46")] = "4",
    pools: Annotated[list[str] | None, typer.Option("--pool", help="from this pool")] = None,
    addresses: Annotated[list[str] | None, typer.Option("--ip", help="this address")] = None,
) -> None:
    """An address for a Service of type LoadBalancer, from pools that allow it; asked again, the same."""
    lines = ipam_assign.assign(context.obj, service, uid, family, pools or (), addresses or ())
    for line in lines:
        print(line)


@app.command()
def release(
    context: typer.Context,
    address: Annotated[str, typer.Option("--ip", help="this address")] = "",
    handle: Annotated[str, typer.Option("--handle", help="all that this handle holds")] = "",
    *,
    force: Annotated[bool, typer.Option(help="also what an endpoint or a tunnel uses")] = False,
) -> None:
    """Give back what nobody uses any more."""
    for line in ipam_release.release(context.obj, address, handle, force=force):
        print(line)


@app.command()
def configure(
    context: typer.Context,
    strict: Annotated[
        str, typer.Option("--strictaffinity", help="true: nodes never borrow addresses")
    ] = "",
    auto: Annotated[
        str, typer.Option("--auto-allocate-blocks", help="false: only blocks that a node has")
    ] = "",
    most: Annotated[
        int | None, typer.Option("--max-blocks-per-host", min=0, help="0: the default")
    ] = None,
) -> None:
    """Change how addresses are given out, what is not named stays; without options show it."""
    print(ipam_configure.configure(context.obj, strict, auto, most))


@app.command()
def check(
    context: typer.Context,
    form: PlainOutput = output.PlainForm.TABLE,
    *,
    kernel: Annotated[bool, typer.Option(help="also compare this node's routes")] = True,
    fix: Annotated[bool, typer.Option("--fix", help="put right what needs no person")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="with --fix: without asking")] = False,
) -> None:
    """What is leaked, doubled or stray, with what to do; exit status 2 when something is (left)."""
    fine = (
        ipam_fix.fix(context.obj, yes=yes)
        if fix
        else ipam_check.check(context.obj, form, kernel=kernel)
    )
    if not fine:
        raise typer.Exit(output.SOMETHING_IS_WRONG)


@app.command()
def split(
    context: typer.Context,
    parts: Annotated[int, typer.Argument(help="how many pools of equal size: 2, 4, 8, 16, 32")],
    name: Annotated[str, typer.Option("--name", help="the pool of this name")] = "",
    cidr: Annotated[str, typer.Option("--cidr", help="the pool of this CIDR")] = "",
) -> None:
    """Make several pools of one; pods keep their addresses."""
    for line in ipam_split.split(context.obj, parts, name, cidr):
        print(line)


@app.command()
def recover(
    context: typer.Context,
    dead: Annotated[str, typer.Option("--dead", help="nodes that are gone, by commas")] = "",
    *,
    wait: Annotated[float, typer.Option("--wait", help="seconds for nodes to answer")] = (
        ipam_recover.ANSWER_SECONDS
    ),
    yes: Annotated[bool, typer.Option("--yes", help="without asking")] = False,
) -> None:
    """Make a store that went back agree with what lives on all nodes, and accept it."""
    terms = ipam_recover.Terms(tuple(NodeName(name) for name in dead.split(",") if name), yes, wait)
    for line in ipam_recover.recover(context.obj, terms, _confirm):
        print(line)


def _confirm(question: str) -> None:
    typer.confirm(question, abort=True)
