"""kube-proxy's mode, changed as its documentation says: stop, clean up, start."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import configuration, machines
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

PROGRAM = "kube-proxy"
SECONDS = 60.0
"""For one to end, or for the next one's rules to stand."""
TABLES = {"iptables": ("ip", "nat"), "nftables": ("ip", "kube-proxy")}
"""The nftables table that a mode fills (iptables-nft writes one, too)."""


def switch(home: Home, topology: Topology, mode: str) -> None:
    """Have this mode on every node, one after the other. Raises LabError."""
    for _, node in topology.nodes:
        machine = Machine(home, node.name)
        machine.forget(PROGRAM)
        _wait(f"{node.name}: kube-proxy ends", partial(_stopped, machine))
        machine.run([*configuration.kube_proxy(), "--cleanup"], timeout_seconds=SECONDS)
        machines.write_proxy(home, topology, node.name, mode)
        machine.keep(PROGRAM, configuration.kube_proxy())
        _wait(f"{node.name}: {mode} rules", partial(fills, machine, mode))


def _stopped(machine: Machine) -> bool:
    return PROGRAM not in machine.pids()


def fills(machine: Machine, mode: str) -> bool:
    """Whether the machine's kernel has services in the table of this mode."""
    listed = json.loads(machine.run(["nft", "-j", "list", "chains"]))["nftables"]
    chains = [each["chain"] for each in listed if "chain" in each]
    family, table = TABLES[mode]
    mine = [
        chain["name"] for chain in chains if (chain["family"], chain["table"]) == (family, table)
    ]
    return any(name.startswith(("KUBE-SVC-", "service-")) for name in mine)


def _wait(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not after {SECONDS:.0f} s")
        time.sleep(0.2)
