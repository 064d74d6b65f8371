"""Pods: a network namespace each, attached by the installed CNI plugin as a runtime would do it."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, ip_interface
from typing import Any

import msgspec

from felix_py.lab import answering, cni_runtime, namespaces
from felix_py.lab.cni_runtime import Attachment
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine

KUBE_NAMESPACE = "lab"
AT_ONCE = 8


class Pod(msgspec.Struct, frozen=True):
    """A pod as its runtime knows it; the addresses have no prefix length."""

    name: str
    node: str
    netns: str
    container_id: str
    address: str
    interface: str
    """The host's end of its veth."""
    address6: str = ""
    """Its IPv6 address, if it has one."""

    @property
    def ip(self) -> IPv4Address:
        """Its IPv4 address."""
        return IPv4Address(self.address)

    def addressed(self, version: int) -> str:
        """Its address of an IP version, empty if it has none."""
        return self.address if version == 4 else self.address6


def attachment(home: Home, name: str, container_id: str) -> Attachment:
    """What a runtime on a Kubernetes node would say of the pod."""
    args = (
        f"IgnoreUnknown=1;K8S_POD_NAMESPACE={KUBE_NAMESPACE};K8S_POD_NAME={name};"
        f"K8S_POD_INFRA_CONTAINER_ID={container_id}"
    )
    return Attachment(container_id, namespaces.path(home.netns(name)), args=args)


def add(home: Home, node: str, name: str) -> Pod:
    """Create a pod and start what answers for it. Raises LabError, and leaves nothing then."""
    if (home.pods / f"{name}.json").exists():
        raise LabError(f"{name}: there is such a pod; `felix-lab pod del {name}` first")
    machine = Machine(home, node)
    machine.command([])
    netns = home.netns(name)
    namespaces.create(netns)
    container_id = secrets.token_hex(32)
    try:
        result = cni_runtime.add(machine, attachment(home, name, container_id))
    except BaseException:
        namespaces.delete(netns)
        raise
    pod = Pod(
        name,
        node,
        netns,
        container_id,
        _address(result, 4),
        _host_interface(result),
        _address(result, 6),
    )
    (home.pods / f"{name}.json").write_bytes(msgspec.json.encode(pod))
    enter = ["nsenter", f"--net={namespaces.path(netns)}", "--"]
    machine.keep(f"pod-{name}", [*enter, *answering.command(name)])
    return pod


def add_all(home: Home, wanted: list[tuple[str, str]]) -> list[Pod]:
    """(node, name) each, several at once. Raises the first LabError after all have been tried."""
    with ThreadPoolExecutor(AT_ONCE) as workers:
        return [job.result() for job in [workers.submit(add, home, *each) for each in wanted]]


def delete(home: Home, name: str) -> None:
    """Detach a pod as a runtime does, then remove its namespace. Raises LabError."""
    pod = get(home, name)
    machine = Machine(home, pod.node)
    machine.forget(f"pod-{name}")
    cni_runtime.delete(machine, attachment(home, name, pod.container_id))
    namespaces.delete(pod.netns)
    (home.pods / f"{name}.json").unlink(missing_ok=True)


def get(home: Home, name: str) -> Pod:
    """The pod of this name. Raises LabError."""
    try:
        return msgspec.json.decode((home.pods / f"{name}.json").read_bytes(), type=Pod)
    except FileNotFoundError as error:
        names = ", ".join(pod.name for pod in every(home))
        raise LabError(f"{name}: no such pod; there are: {names or 'none'}") from error


def every(home: Home) -> list[Pod]:
    """All pods, by name."""
    files = sorted(home.pods.glob("*.json"))
    return [msgspec.json.decode(file.read_bytes(), type=Pod) for file in files]


def next_name(home: Home, node: str) -> str:
    """A free name for one more pod of a node."""
    taken = {pod.name for pod in every(home)}
    stem = f"pod-{node.removeprefix('node-')}"
    return next(name for n in range(1, 10_000) if (name := f"{stem}-{n}") not in taken)


def _address(result: dict[str, Any], version: int) -> str:
    """What the plugin gave of a family. Raises LabError without an IPv4 address."""
    found = [ip_interface(entry["address"]).ip for entry in result.get("ips", [])]
    for address in found:
        if address.version == version:
            return str(address)
    if version == 4:
        raise LabError(f"the plugin gave no IPv4 address: {result}")
    return ""


def _host_interface(result: dict[str, Any]) -> str:
    for entry in result.get("interfaces", []):
        if not entry.get("sandbox"):
            return str(entry["name"])
    return ""
