"""The commands that look inside or change pods: exec, logs, pod add, pod del."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from felix_py.lab import etcd, inventory, namespaces, pods
from felix_py.lab.errors import LabError
from felix_py.lab.fabric import ETCD
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import place
from felix_py.lab.kubernetes.kubectl import Kubectl
from felix_py.lab.machine import Machine, environment

pod_app = typer.Typer(no_args_is_help=True, help="Add or delete a pod, as a runtime does.")


@pod_app.command("add")
def pod_add(
    context: typer.Context,
    node: str,
    name: Annotated[str | None, typer.Argument(help="Default: the next free name.")] = None,
) -> None:
    """One more pod on a node; prints its name and address."""
    home: Home = context.obj
    topology = inventory.topology_that_is_up(home)
    if node not in {each.name for _, each in topology.nodes}:
        raise LabError(f"{node}: not a node of this lab")
    pod = pods.add(home, node, name or pods.next_name(home, node))
    typer.echo(f"{pod.name} {pod.address}")


@pod_app.command("del")
def pod_del(context: typer.Context, name: str) -> None:
    """Delete a pod."""
    pods.delete(context.obj, name)


def execute(context: typer.Context, where: str, command: list[str]) -> None:
    """Run a command inside a node, ToR, reflector, pod, or etcd: `exec node-a1 -- ip route`."""
    argv = inside(context.obj, where, command)
    try:
        os.execvp(argv[0], argv)  # noqa: S606  the user's own command
    except OSError as error:
        raise LabError(f"{argv[0]}: {error.strerror}") from error


def inside(home: Home, where: str, command: list[str]) -> list[str]:
    """A command as one that runs inside a machine or pod, with what etcdctl and felixctl need in its
    environment: where etcd is, and how to run a command on another node.

    Raises LabError when there is no such machine or pod, or it is down.
    """
    topology = inventory.topology_that_is_up(home)
    reached = etcd.access(home, topology)
    where = etcd.machine(topology) if where == ETCD else where
    given = {
        "PATH": f"{place.BINARIES}:{environment()['PATH']}",
        "ETCDCTL_API": "3",
        "ETCDCTL_ENDPOINTS": reached.endpoint,
        "FELIX_PY_CTL_VIA": shlex.join(_this_lab(home)) + " exec {node} --",
    }
    if topology.kubernetes is not None:
        given["KUBECONFIG"] = str(place.admin_config(home))
    if reached.ca_file:
        given |= {
            "ETCDCTL_CACERT": reached.ca_file,
            "ETCDCTL_CERT": reached.cert_file,
            "ETCDCTL_KEY": reached.key_file,
        }
    if topology.store_inside:
        given |= {
            "FELIX_PY_NODE_NAME": where,
            "FELIX_PY_DATASTORE_ENDPOINTS": reached.endpoint,
            "FELIX_PY_DATASTORE_CA_CERT_FILE": reached.ca_file,
            "FELIX_PY_DATASTORE_CERT_FILE": reached.cert_file,
            "FELIX_PY_DATASTORE_KEY_FILE": reached.key_file,
        }
    settings = [f"{name}={value}" for name, value in given.items()]
    if where in (*topology.machines, ETCD):
        return ["env", *settings, *Machine(home, where).command(command)]
    return ["env", *settings, *inside_pod(home, where, command)]


def _this_lab(home: Home) -> list[str]:
    """The command that speaks of this lab, from inside a machine too."""
    command = str(Path(sys.executable).with_name("felix-lab"))
    return [command, "--name", home.name, "--lab-dir", str(home.directory)]


def inside_pod(home: Home, name: str, command: list[str]) -> list[str]:
    """A command as one that runs in a pod's network, on its node."""
    pod = pods.get(home, name)
    entered = ["nsenter", f"--net={namespaces.path(pod.netns)}", "--", *command]
    return Machine(home, pod.node).command(entered)


def kubectl(context: typer.Context) -> None:
    """kubectl, as the cluster's administrator: `kubectl get pods -A -o wide`."""
    home: Home = context.obj
    topology = inventory.topology_that_is_up(home)
    if topology.kubernetes is None:
        raise LabError(f"{topology.name} has no Kubernetes; `felix-lab up cluster` builds one")
    command = Kubectl(home, topology).argv(*context.args)
    os.execvp(command[0], command)  # noqa: S606  the user's own command


def logs(
    context: typer.Context,
    machine: str,
    program: str,
    *,
    follow: Annotated[bool, typer.Option("-f", help="Go on as it grows.")] = False,
) -> None:
    """A program's log: `logs node-a1 bgp`."""
    home: Home = context.obj
    inventory.topology_that_is_up(home)
    file = home.log(machine, program)
    if not file.exists():
        there = sorted(
            str(each.relative_to(home.directory / "logs").with_suffix(""))
            for each in (home.directory / "logs").glob("*/*.log")
        )
        raise LabError(f"{machine} {program}: no such log; there are: {', '.join(there)}")
    os.execvp("tail", ["tail", *(["-f"] if follow else []), "-n", "+1", str(file)])  # noqa: S606


def register(app: typer.Typer) -> None:
    """Add the commands that have no group of their own."""
    app.command("exec")(execute)
    app.command("logs")(logs)
    # Not interspersed: from the first word on nothing is ours, so that `exec POD -- CMD` keeps its `--`.
    everything = {
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "allow_interspersed_args": False,
    }
    app.command("kubectl", context_settings=everything, add_help_option=False)(kubectl)
