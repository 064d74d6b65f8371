"""The commands of felixctl: names, arguments and options; each hands over to its verb's module."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from felix_py.ctl import datastore as datastore_verbs
from felix_py.ctl import (
    datastore_backup,
    doctor_commands,
    ipam_app,
    mtu_app,
    object_commands,
    output,
    path_commands,
    plan_commands,
    version,
)
from felix_py.ctl import get as get_verb
from felix_py.ctl import init as init_verb
from felix_py.ctl import label as label_verb
from felix_py.ctl import status as status_verb
from felix_py.ctl import write as write_verbs
from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError
from felix_py.ctl.object_commands import Diff, DryRun
from felix_py.ctl.writing import Mode
from felix_py.runtime import logs
from felix_py.runtime.settings import DEFAULT_FILE

app = typer.Typer(
    help="Pools, peers, nodes and endpoints in etcd; the state of nodes.", no_args_is_help=True
)
datastore_app = typer.Typer(help="The datastore as a whole.", no_args_is_help=True)
app.add_typer(datastore_app, name="datastore")
app.add_typer(ipam_app.app, name="ipam")
app.add_typer(mtu_app.app, name="mtu")
path_commands.register(app)
doctor_commands.register(app)
object_commands.register(app)
plan_commands.register(app)

Kind = Annotated[str, typer.Argument(metavar="KIND", help="ippool, bgppeer, node, ... or an alias")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")]
Files = Annotated[list[str], typer.Option("-f", "--filename", help="file, folder or - ")]
Namespace = Annotated[str, typer.Option("-n", "--namespace")]
Output = Annotated[output.Form, typer.Option("-o", "--output")]
PlainOutput = Annotated[output.PlainForm, typer.Option("-o", "--output")]
SkipMissing = Annotated[bool, typer.Option("--skip-not-exists", help="absent is fine")]


@app.callback()
def configure(
    context: typer.Context,
    config: Annotated[Path, typer.Option(help="the node's configuration file")] = DEFAULT_FILE,
) -> None:
    """What every verb starts from."""
    logs.set_up("felixctl", logs.LogSettings(level="error", form="text"))
    context.obj = Session(config)


@app.command()
def init(
    context: typer.Context,
    cluster_type: Annotated[str, typer.Option(help="ClusterInformation.spec.clusterType")] = (
        init_verb.DEFAULT_CLUSTER_TYPE
    ),
) -> None:
    """Create what must stand in etcd before the first node; changes nothing that is there."""
    say(init_verb.init(context.obj, cluster_type))


@app.command()
def get(  # noqa: PLR0913  the options of the verb
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="[KIND]")] = "",
    names: Names = None,
    form: Output = output.Form.TABLE,
    namespace: Namespace = "",
    *,
    files: Annotated[list[str] | None, typer.Option("-f", "--filename")] = None,
    all_namespaces: Annotated[bool, typer.Option("-A", "--all-namespaces")] = False,
    export: Annotated[bool, typer.Option("--export", help="for another cluster")] = False,
) -> None:
    """Show objects of a kind, or those that files name."""
    if bool(kind) == bool(files):
        raise typer.BadParameter("give either KIND or -f FILE")
    if files:
        get_verb.get_files(context.obj, files, form, namespace=namespace, export=export)
        return
    get_verb.get(
        context.obj,
        kind,
        names or [],
        form,
        namespace=namespace,
        all_namespaces=all_namespaces,
        export=export,
    )


@app.command()
def create(  # noqa: PLR0913  the options of the verb
    context: typer.Context,
    files: Files,
    namespace: Namespace = "",
    *,
    skip_existing: Annotated[bool, typer.Option("--skip-exists", help="present is fine")] = False,
    yes: plan_commands.Yes = False,
    dry_run: DryRun = False,
    diff: Diff = False,
) -> None:
    """Create objects from files."""
    mode = Mode(dry_run, diff, plan_commands.whoever_is_there(yes=yes))
    done = write_verbs.create(context.obj, files, namespace, mode=mode, skip_existing=skip_existing)
    with plan_commands.refusals():
        say(done)


@app.command()
def apply(
    context: typer.Context,
    files: Files,
    namespace: Namespace = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="do it, whatever the plan says")] = False,
    dry_run: DryRun = False,
    diff: Diff = False,
) -> None:
    """Create or replace objects from files. On a terminal it shows what that does and asks; elsewhere
    it refuses with exit status 2 when something would be lost."""
    mode, consent = Mode(dry_run, diff), plan_commands.consent(yes=yes)
    with plan_commands.refusals():
        say(write_verbs.apply(context.obj, files, namespace, mode=mode, consent=consent))


@app.command()
def delete(  # noqa: PLR0913  the options of the verb
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="[KIND]")] = "",
    names: Names = None,
    files: Annotated[list[str] | None, typer.Option("-f", "--filename")] = None,
    namespace: Namespace = "",
    *,
    skip_missing: SkipMissing = False,
    yes: plan_commands.Yes = False,
    dry_run: DryRun = False,
    diff: Diff = False,
) -> None:
    """Delete objects by name or as files name them. On a terminal it shows what that does and asks."""
    if bool(kind) == bool(files):
        raise CommandError("delete: give either KIND NAME or -f FILE")
    mode = Mode(dry_run, diff, plan_commands.whoever_is_there(yes=yes))
    if files:
        done = write_verbs.delete_files(
            context.obj, files, namespace, skip_missing=skip_missing, mode=mode
        )
    else:
        done = write_verbs.delete_named(
            context.obj, kind, names or [], namespace, skip_missing=skip_missing, mode=mode
        )
    with plan_commands.refusals():
        say(done)


@app.command()
def label(  # noqa: PLR0913  the options of the verb
    context: typer.Context,
    kind: Kind,
    name: str,
    labels: Annotated[list[str], typer.Argument(metavar="KEY=VALUE|KEY-...")],
    namespace: Namespace = "",
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="KEY alone: remove it")] = False,
    yes: plan_commands.Yes = False,
    dry_run: DryRun = False,
    diff: Diff = False,
) -> None:
    """Set (key=value) and remove (key-) labels of one object."""
    changes = [f"{each.removesuffix('-')}-" for each in labels] if remove else labels
    mode = Mode(dry_run, diff, plan_commands.whoever_is_there(yes=yes))
    with plan_commands.refusals():
        done = label_verb.label(
            context.obj, kind, name, changes, namespace=namespace, overwrite=overwrite, mode=mode
        )
    say([done])


@app.command()
def status(
    context: typer.Context,
    form: PlainOutput = output.PlainForm.TABLE,
    *,
    fleet: Annotated[bool, typer.Option("--all", help="every node, as etcd tells")] = False,
) -> None:
    """This node's daemons, sessions and routes; exit status 2 when something is wrong."""
    if not status_verb.status(context.obj, form, fleet=fleet):
        raise typer.Exit(output.SOMETHING_IS_WRONG)


@datastore_app.command("accept")
def accept(context: typer.Context) -> None:
    """Let frozen daemons go on with the store as it is now."""
    say([datastore_verbs.accept(context.obj)])


@app.command("version")
def show_version(context: typer.Context) -> None:
    """Versions of felixctl and of the cluster."""
    say(version.version(context.obj))


def say(lines: Iterable[str]) -> None:
    """Print what was done, as it is done."""
    for line in lines:
        print(line)


@datastore_app.command("backup")
def backup(context: typer.Context, file: Path) -> None:
    """Write all keys of ours and of Calico's, read at one revision, to a file."""
    say([datastore_backup.backup(context.obj, file)])


@datastore_app.command("restore")
def restore(context: typer.Context, file: Path) -> None:
    """Write them into an etcd that has none; then felixctl ipam recover."""
    say([datastore_backup.restore(context.obj, file)])
