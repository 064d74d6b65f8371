"""A node: a machine that runs our daemons by the entry points and the configuration of a real one, and
what a Kubernetes node runs where the topology has a Kubernetes.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from felix_py.lab import etcd, fabric
from felix_py.lab.errors import LabError
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import machines
from felix_py.lab.machine import Machine, layer
from felix_py.lab.topology import RackSpec, Topology
from felix_py.runtime import status_file

DAEMONS: Mapping[str, str] = {
    "felix": "felix-agent",
    "bgp": "felix-bgp",
    "launcher": "felix-bgp-launcher",
    "cni": "felix-cni",
}
"""What a node keeps running, by the name the lab uses, with its entry point."""
CONFIG = "felix-py/felix-py.yaml"
READY_SECONDS = 30.0


def start(home: Home, topology: Topology, name: str) -> None:
    """Cable it, boot it and start its daemons; felix-cni installs its plugin itself. Raises LabError."""
    machine = Machine(home, name)
    fabric.plug_node(home, topology, name)
    machine.prepare_disk()
    if topology.daemons:
        configure(home, topology, name)
    if topology.kubernetes is not None:
        machines.prepare(home, topology, name)
    machine.boot(machines.furnishing(home, topology, name))
    if topology.daemons:
        for program, script in DAEMONS.items():
            machine.keep(program, [entry_point(script)])
    if topology.kubernetes is not None:
        machines.start(home, topology, name)


def entry_point(script: str) -> str:
    """The installed script, beside the interpreter that runs us."""
    path = Path(sys.executable).with_name(script)
    if not path.exists():
        raise LabError(f"{path}: not installed; run `make setup`")
    return str(path)


def configuration(topology: Topology, rack: RackSpec, reached: etcd.Access) -> dict[str, Any]:
    """The /etc/felix-py/felix-py.yaml of a rack's nodes."""
    datastore: dict[str, Any] = {"endpoints": [reached.endpoint]}
    if topology.tls:
        datastore |= {
            "caCertFile": "/etc/felix-py/etcd/ca.pem",
            "certFile": "/etc/felix-py/etcd/client.pem",
            "keyFile": "/etc/felix-py/etcd/client-key.pem",
        }
    made: dict[str, Any] = {
        "datastore": datastore,
        "log": {"level": "info", "form": "json"},
        "cni": {"binDir": "/opt/cni/bin", "confDir": "/etc/cni/net.d"},
    }
    if topology.backend != "bgp":
        made["node"] = {"backend": topology.backend}
    if 6 in rack.versions:
        made["felix"] = {"ipv6Address": "auto"}
        made["cni"]["assignIpv6"] = True
    return made


def configure(home: Home, topology: Topology, name: str) -> None:
    """Write the configuration, and the certificates if etcd asks for them, onto its disk."""
    reached = etcd.access(home, topology)
    made = configuration(topology, topology.rack_of(name), reached)
    file = layer(home.disk(name), "/etc") / CONFIG
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(made, sort_keys=False))
    if topology.tls:
        certificates = file.parent / "etcd"
        certificates.mkdir(mode=0o700, exist_ok=True)
        for source in (reached.ca_file, reached.cert_file, reached.key_file):
            shutil.copy(source, certificates)


def run_dir(home: Home, name: str) -> str:
    """Our run directory of the node, as seen from outside."""
    return str(home.run_dir(name) / "felix-py")


def status(home: Home, name: str, daemon: str) -> dict[str, Any] | None:
    """What a daemon of the node last said of itself, None if nothing yet."""
    return status_file.read(run_dir(home, name), daemon)


def wait_in_sync(home: Home, names: list[str]) -> None:
    """Wait until the daemons of these nodes have read etcd. Raises LabError naming who has not."""
    deadline = time.monotonic() + READY_SECONDS
    waiting = {(name, daemon) for name in names for daemon in ("felix", "bgp", "cni")}
    while waiting:
        waiting = {each for each in waiting if not _in_sync(home, *each)}
        if waiting and time.monotonic() > deadline:
            name, daemon = min(waiting)
            raise LabError(
                f"{name}: {daemon} has not read etcd after {READY_SECONDS:.0f} s; it last said: "
                f"{last_line(home.log(name, daemon))}\nits log: {home.log(name, daemon)}"
            )
        if waiting:
            time.sleep(0.05)


def last_line(log: Path) -> str:
    """The end of a log, for an error message."""
    if not log.exists():
        return "nothing"
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1][-400:] if lines else "nothing"


def _in_sync(home: Home, name: str, daemon: str) -> bool:
    said = status(home, name, daemon)
    store = said.get("store") if said else None
    return isinstance(store, dict) and bool(store.get("inSync")) and not store.get("frozen")
