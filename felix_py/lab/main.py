"""felix-lab: two racks, nodes, ToRs and etcd in network namespaces of this host."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from felix_py.lab import bring_up, commands_fail, commands_inside, inventory, report, topology_file
from felix_py.lab.errors import LabError
from felix_py.lab.home import DEFAULT_NAME, DEFAULT_ROOT, LAB_NAME, Home
from felix_py.lab.stages import Stages

FILE_COLUMNS = 120
"""Width of tables where no terminal says how wide it is."""

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False
)
app.add_typer(commands_inside.pod_app, name="pod")
app.add_typer(commands_fail.app, name="fail")
commands_inside.register(app)
commands_fail.register(app)
console = Console(width=None if sys.stdout.isatty() else FILE_COLUMNS)


@app.callback()
def lab(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Prefix of the lab's namespaces.")] = DEFAULT_NAME,
    lab_dir: Annotated[
        Path | None, typer.Option(help=f"Its directory; default {DEFAULT_ROOT}/<name>.")
    ] = None,
) -> None:
    """Choose the lab; several can stand side by side under different names."""
    if not LAB_NAME.fullmatch(name):
        raise LabError(f"--name {name}: a letter, then up to nine of a-z, 0-9")
    context.obj = Home(name, (lab_dir or DEFAULT_ROOT / name).absolute())
    if context.invoked_subcommand is not None and "--help" not in sys.argv:
        bring_up.check_root()


@app.command()
def up(
    context: typer.Context,
    topology: Annotated[
        str, typer.Argument(help=f"{', '.join(topology_file.shipped())}, or a YAML file.")
    ] = "default",
    image: Annotated[
        list[str] | None, typer.Option(help="An image archive for every node of the Kubernetes.")
    ] = None,
    manifest: Annotated[
        list[str] | None, typer.Option(help="Applied to the Kubernetes in our daemons' place.")
    ] = None,
) -> None:
    """Build the lab (in place of one that is there), prove that it works, leave it running."""
    home: Home = context.obj
    wanted = topology_file.load(topology).with_manifests(image or (), manifest or ())
    proof = bring_up.up(home, wanted, Stages(console, home))
    report.show(console, home, wanted, proof)


@app.command()
def prove(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(help="How long it may take to hold.")] = 30.0,
) -> None:
    """Prove again that everything reaches everything, and show it."""
    home: Home = context.obj
    wanted = inventory.topology_that_is_up(home)
    proof = bring_up.prove(home, wanted, Stages(console, home), timeout_seconds=seconds)
    report.show(console, home, wanted, proof)


@app.command()
def down(context: typer.Context) -> None:
    """End everything and leave nothing behind."""
    bring_up.down(context.obj)


@app.command()
def status(
    context: typer.Context,
    output: Annotated[str, typer.Option("-o", help="table or json")] = "table",
) -> None:
    """What there is: nodes, pods, ToRs, processes, etcd."""
    home: Home = context.obj
    document = inventory.document(home, inventory.topology_that_is_up(home))
    if output == "json":
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    for table in report.status_tables(document):
        console.print(table)


def main() -> int:
    """The console script; errors that a person can act on are one sentence on standard error."""
    try:
        app(standalone_mode=False)
    except LabError as error:
        Console(stderr=True).print(
            f"felix-lab: {error}", highlight=False, markup=False, soft_wrap=True
        )
        return 1
    except typer.Exit as error:
        return error.exit_code
    except typer.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
