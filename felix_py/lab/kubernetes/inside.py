"""Pods of the cluster by the processes that they are: found in the control groups of their node's kubelet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import cgroups
from felix_py.lab.kubernetes.kubectl import Kubectl


@dataclass(frozen=True, slots=True)
class Container:
    """A running container: its pod's and its own name, its node, its id with the runtime."""

    pod: str
    name: str
    node: str
    identity: str


def containers(kubectl: Kubectl, *which: str) -> list[Container]:
    """The running containers of the pods that `kubectl get pods` finds with these arguments."""
    return [one for pod in kubectl.get("pods", *which) for one in containers_of(pod)]


def containers_of(pod: dict[str, Any]) -> list[Container]:
    """The running containers of a pod as the API has it."""
    return [
        Container(
            pod["metadata"]["name"],
            status["name"],
            pod["spec"]["nodeName"],
            status["containerID"].rpartition("/")[2],
        )
        for status in pod["status"].get("containerStatuses", [])
        if "running" in status.get("state", {})
    ]


def processes(home: Home, container: Container) -> list[int]:
    """The processes of a container, by the host's ids; none when it has ended."""
    found: set[int] = set()
    for group in cgroups.groups(home.netns(container.node)):
        if container.identity in group.parts:
            with suppress(OSError):
                found |= {int(line) for line in (group / "cgroup.procs").read_text().split()}
    return sorted(found)


def enter(home: Home, container: Container) -> Sequence[str]:
    """The beginning of a command that makes the rest run in the network of the container's pod: a
    process of the host's that outlives the container. Raises LabError.
    """
    pids = processes(home, container)
    if not pids:
        raise LabError(f"{container.pod}: {container.name} does not run")
    return ("nsenter", "-t", str(pids[0]), "-n", "--")
