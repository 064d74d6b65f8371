"""The commands that break things, and heal."""

from __future__ import annotations

from typing import Annotated

import typer

from felix_py.lab import faults, inventory
from felix_py.lab.home import Home

app = typer.Typer(no_args_is_help=True, help="Break something; `felix-lab heal` takes it all back.")


@app.command("process")
def process(
    context: typer.Context,
    machine: str,
    kind: str,
    *,
    hold: Annotated[bool, typer.Option(help="Keep it down until `heal`.")] = False,
) -> None:
    """kill -9: felix, bgp, launcher, exabgp, relay, cni; bird, zebra, bgpd; etcd. It restarts by itself."""
    home: Home = context.obj
    gone = faults.process(home, inventory.topology_that_is_up(home), machine, kind, hold=hold)
    typer.echo(f"killed {kind} of {machine}: {' '.join(map(str, gone))}")


@app.command("link")
def link(context: typer.Context, one: str, other: str) -> None:
    """Pull the cable between two: a node and its ToR, two ToRs, a node and etcd."""
    home: Home = context.obj
    faults.link(home, inventory.topology_that_is_up(home), one, other)


@app.command("node")
def node(context: typer.Context, name: str) -> None:
    """Power a node off; `heal` boots it and adds its pods again."""
    home: Home = context.obj
    faults.whole_node(home, inventory.topology_that_is_up(home), name)


@app.command("tor")
def tor(context: typer.Context, name: str) -> None:
    """Power a ToR off."""
    home: Home = context.obj
    faults.tor(home, inventory.topology_that_is_up(home), name)


def heal(context: typer.Context) -> None:
    """Take back everything that was made to fail."""
    home: Home = context.obj
    for line in faults.heal(home, inventory.topology_that_is_up(home)):
        typer.echo(line)


def register(main: typer.Typer) -> None:
    """Add the command that has no group of its own."""
    main.command("heal")(heal)
