"""What the lab consists of right now, as one JSON document with everybody's names, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from felix_py.lab import etcd, namespaces, pods
from felix_py.lab.addressing import management_address, node_address, outside_host
from felix_py.lab.errors import LabError
from felix_py.lab.fabric import ETCD
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from felix_py.lab.node import DAEMONS
from felix_py.lab.topology import OutsideSpec, RackSpec, Topology
from felix_py.lab.topology_file import parse

FOUND_BY_COMMAND = (("relay", "bgp.relay"), ("relay", "bgp/relay"), ("exabgp", "exabgp"))
"""Programs that a node's keeper did not start itself, with what their command line holds."""
FOUND_BY_NAME = {script: kind for kind, script in DAEMONS.items()} | {
    "felix-kube-controllers": "kube-controllers",
    "etcd": "etcd",
}
"""Programs in containers on a node's own network, by the name of the file that was started."""


def topology_that_is_up(home: Home) -> Topology:
    """The topology of the lab. Raises LabError when no lab is up."""
    try:
        text = home.topology_file.read_text("utf-8")
    except FileNotFoundError as error:
        raise LabError(f"no lab is up in {home.directory}; `felix-lab up` builds one") from error
    return parse(text, str(home.topology_file))


def document(home: Home, topology: Topology) -> dict[str, Any]:
    """nodes, pods, tors, reflector, outsides, processes and etcd, each by name."""
    reached = etcd.access(home, topology)
    return {
        "name": home.name,
        "directory": str(home.directory),
        "topology": topology.name,
        "nodes": [_node(home, topology, rack, node.name) for rack, node in topology.nodes],
        "pods": [msgspec.to_builtins(pod) for pod in pods.every(home)],
        "tors": [_tor(home, rack) for rack in topology.racks],
        "reflector": topology.reflector
        and {
            "name": topology.reflector.name,
            "netns": home.netns(topology.reflector.name),
        },
        "outsides": [_outside(home, outside) for outside in topology.outsides],
        "processes": processes(home, topology),
        "etcd": {
            "endpoint": reached.endpoint,
            "machine": etcd.machine(topology),
            "netns": home.netns(etcd.machine(topology)),
            "caFile": reached.ca_file,
            "certFile": reached.cert_file,
            "keyFile": reached.key_file,
        },
    }


def _node(home: Home, topology: Topology, rack: RackSpec, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "rack": rack.name,
        "netns": home.netns(name),
        "addresses": [
            str(node_address(topology, name)),
            str(management_address(topology, name)),
            *(str(node_address(topology, name, version)) for version in rack.versions[1:]),
        ],
        "pid": Machine(home, name).keeper_pid,
        "runDir": str(home.run_dir(name) / "felix-py"),
    }


def _tor(home: Home, rack: RackSpec) -> dict[str, Any]:
    return {
        "name": rack.tor.name,
        "kind": rack.tor.kind,
        "netns": home.netns(rack.tor.name),
        "outside": str(rack.tor.outside),
        "outside6": str(rack.tor.outside6 or ""),
    }


def _outside(home: Home, outside: OutsideSpec) -> dict[str, Any]:
    return {
        "name": outside.name,
        "tor": outside.tor,
        "netns": home.netns(outside.name),
        "addresses": [str(outside_host(outside, version)) for version in outside.versions],
        "knowsPods": outside.knows_pods,
    }


def processes(home: Home, topology: Topology) -> list[dict[str, Any]]:
    """(node, kind, pid) of every program that runs for a node, a router or etcd; pods' left out."""
    found: list[dict[str, Any]] = []
    running = namespaces.processes([home.netns(name) for name in topology.machines])
    for name in (*topology.machines, ETCD):
        kept = Machine(home, name).pids()
        kinds = [(kind, pid) for kind, pid in kept.items() if not kind.startswith("pod-")]
        if set(DAEMONS) & set(kept) or name in {node.name for _, node in topology.nodes}:
            mine = [pid for pid in running.get(home.netns(name), []) if pid not in kept.values()]
            kinds += [(kind, pid) for pid in mine if (kind := _kind(pid)) is not None]
        found += [{"node": name, "kind": kind, "pid": pid} for kind, pid in kinds]
    return found


def pids(home: Home, topology: Topology, machine: str, kind: str) -> list[int]:
    """The processes of one kind on one machine; usually one."""
    return [
        each["pid"]
        for each in processes(home, topology)
        if (each["node"], each["kind"]) == (machine, kind)
    ]


def _kind(pid: int) -> str | None:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (OSError, UnicodeDecodeError):
        return None
    # A script is the first argument of its interpreter, after the interpreter's options.
    words = [word for word in argv if not word.startswith("-")]
    for word in words[:2]:
        if (kind := FOUND_BY_NAME.get(Path(word).name)) is not None:
            return kind
    command = " ".join(argv)
    return next((kind for kind, part in FOUND_BY_COMMAND if part in command), None)
