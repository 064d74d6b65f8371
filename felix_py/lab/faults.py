"""Things that fail, and `heal`, which takes all of it back. What failed is on disk, one file each."""

from __future__ import annotations

import json
import secrets
import signal
from typing import Any

from felix_py.lab import cni_runtime, fabric, inventory, namespaces, node, pods
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import cgroups
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

HELD_BY = {"exabgp": "launcher", "relay": "launcher"}
"""Who would start a program again that the keeper did not start."""


def process(home: Home, topology: Topology, machine: str, kind: str, *, hold: bool) -> list[int]:
    """kill -9; the ids that are gone. With `hold` it stays down until heal, else it restarts.

    exabgp and relay are their parents' to restart, so they cannot be held: hold the launcher.
    """
    victims = inventory.pids(home, topology, machine, kind)
    if not victims:
        running = sorted(
            {
                each["kind"]
                for each in inventory.processes(home, topology)
                if each["node"] == machine
            }
        )
        raise LabError(f"{machine}: no {kind!r} runs there; there are: {', '.join(running)}")
    if hold:
        if kind in HELD_BY:
            raise LabError(f"{kind} is started by the {HELD_BY[kind]}; hold that")
        if kind not in Machine(home, machine).pids():
            raise LabError(
                f"{kind} runs in a container: kubelet starts it again, nobody can hold it"
            )
        Machine(home, machine).hold(kind)
        _remember(home, {"what": "process", "machine": machine, "kind": kind})
    for pid in victims:
        namespaces.signal_quietly(pid, signal.SIGKILL)
    return victims


def link(home: Home, topology: Topology, one: str, other: str) -> None:
    """Pull the cable between two."""
    machine, interface = fabric.link_between(topology, one, other)
    fabric.set_link(home, machine, interface, up=False)
    _remember(home, {"what": "link", "machine": machine, "interface": interface})


def whole_node(home: Home, topology: Topology, name: str) -> None:
    """Power off: every process, interface and pod namespace is gone; the disk stays."""
    if name not in {each.name for _, each in topology.nodes}:
        raise LabError(f"{name}: not a node of this lab")
    hosted = [pod for pod in pods.every(home) if pod.node == name]
    for pod in hosted:
        Machine(home, name).forget(f"pod-{pod.name}")
    fabric.unplug_node(home, topology, name)
    for netns in (home.netns(name), *(pod.netns for pod in hosted)):
        namespaces.delete(netns)
    cgroups.remove(home.netns(name))
    Machine(home, name).empty_run_dir()
    _remember(home, {"what": "node", "machine": name})


def tor(home: Home, topology: Topology, name: str) -> None:
    """Power off a ToR: its programs are killed and stay down, its cables are dead."""
    if name not in {rack.tor.name for rack in topology.racks}:
        raise LabError(f"{name}: not a ToR of this lab")
    machine = Machine(home, name)
    for kind, pid in machine.pids().items():
        machine.hold(kind)
        _remember(home, {"what": "process", "machine": name, "kind": kind})
        namespaces.signal_quietly(pid, signal.SIGKILL)
    for interface in fabric.interfaces_of_tor(topology, name):
        fabric.set_link(home, name, interface, up=False)
        _remember(home, {"what": "link", "machine": name, "interface": interface})


def heal(home: Home, topology: Topology) -> list[str]:
    """Take back every fault; what was done, in words. Pods of a node are added again, as after a reboot."""
    done = []
    for file in sorted(home.faults.glob("*.json")):
        fault = json.loads(file.read_text())
        done.append(_take_back(home, topology, fault))
        file.unlink()
    return done


def _take_back(home: Home, topology: Topology, fault: dict[str, Any]) -> str:
    machine = fault["machine"]
    match fault["what"]:
        case "process":
            Machine(home, machine).release(fault["kind"])
            return f"{machine}: {fault['kind']} may start again"
        case "link":
            fabric.set_link(home, machine, fault["interface"], up=True)
            return f"{machine}: {fault['interface']} is up again"
        case _:
            hosted = [pod for pod in pods.every(home) if pod.node == machine]
            # A heal that failed half-way is done again from the start.
            fabric.unplug_node(home, topology, machine)
            namespaces.delete(home.netns(machine))
            node.start(home, topology, machine)
            for pod in hosted:
                _add_again(home, pod)
            return f"{machine}: booted, with {len(hosted)} pods"


def _add_again(home: Home, pod: pods.Pod) -> None:
    """As kubelet after a reboot: DEL the sandbox that is gone, then ADD a new one."""
    machine = Machine(home, pod.node)
    cni_runtime.delete(machine, pods.attachment(home, pod.name, pod.container_id))
    (home.pods / f"{pod.name}.json").unlink()
    pods.add(home, pod.node, pod.name)


def _remember(home: Home, fault: dict[str, str]) -> None:
    name = "-".join(fault.values())
    (home.faults / f"{name}-{secrets.token_hex(2)}.json").write_text(json.dumps(fault))
