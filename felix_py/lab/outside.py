"""Outside hosts: machines that run nothing of ours and answer whoever they have a way back to."""

from __future__ import annotations

from felix_py.lab import answering
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import machines
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology


def start(home: Home, topology: Topology) -> None:
    """Boot them; their cables stand. Raises LabError."""
    for outside in topology.outsides:
        machine = Machine(home, outside.name)
        machine.prepare_disk()
        machine.boot(machines.furnishing(home, topology, outside.name))
        machine.keep("answer", answering.command(outside.name))
