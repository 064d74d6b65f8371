"""The lab's etcd: a real etcd-server with a data directory of its own, thrown away with the lab."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from felix_py.lab import certificates, namespaces
from felix_py.lab.addressing import etcd_address
from felix_py.lab.errors import LabError
from felix_py.lab.fabric import ETCD
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

READY_SECONDS = 15.0
QUOTA_BYTES = 8 * 2**30
"""etcd keeps the history of every write; 2 GB, its default, fill within minutes of churn."""
COMPACTION = "10m"


@dataclass(frozen=True, slots=True)
class Access:
    """How a client reaches etcd; empty paths when it speaks plain HTTP."""

    endpoint: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @property
    def flags(self) -> list[str]:
        """For etcdctl (API 3)."""
        given = ["--endpoints", self.endpoint]
        if self.ca_file:
            given += ["--cacert", self.ca_file, "--cert", self.cert_file, "--key", self.key_file]
        return given


def access(home: Home, topology: Topology) -> Access:
    """How this lab's etcd is reached from its nodes."""
    address = etcd_address(topology).ip
    if not topology.tls:
        return Access(f"http://{address}:2379")
    made = certificates.paths(home.directory / "certificates")
    return Access(f"https://{address}:2379", str(made.ca), str(made.client), str(made.client_key))


def data_dir(home: Home) -> Path:
    """Where it keeps its data."""
    return home.disk(ETCD) / "data"


def start(home: Home, topology: Topology) -> None:
    """Start it and wait until it answers. Raises LabError with the log's place."""
    machine = Machine(home, ETCD)
    if topology.tls:
        certificates.make(home.directory / "certificates", str(etcd_address(topology).ip))
    machine.prepare_disk()
    machine.boot()
    machine.keep(ETCD, arguments(home, topology))
    wait_ready(home, topology)


def arguments(home: Home, topology: Topology) -> list[str]:
    """etcd's command line."""
    reached = access(home, topology)
    given = [
        "etcd", "--name", "lab", "--data-dir", str(data_dir(home)),
        "--listen-client-urls", reached.endpoint, "--advertise-client-urls", reached.endpoint,
        "--listen-peer-urls", "http://127.0.0.1:2380",
        "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
        "--initial-cluster", "lab=http://127.0.0.1:2380",
        "--auto-compaction-mode", "periodic", "--auto-compaction-retention", COMPACTION,
        "--quota-backend-bytes", str(QUOTA_BYTES), "--logger", "zap", "--log-level", "warn",
    ]  # fmt: skip
    if topology.tls:
        made = certificates.paths(home.directory / "certificates")
        given += [
            "--client-cert-auth", "--trusted-ca-file", str(made.ca),
            "--cert-file", str(made.server), "--key-file", str(made.server_key),
        ]  # fmt: skip
    return given


def wait_ready(home: Home, topology: Topology) -> None:
    """Wait until it answers a linearizable read. Raises LabError at READY_SECONDS."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            ctl(home, topology, ["endpoint", "health", "--command-timeout", "2s"])
        except LabError as error:
            if time.monotonic() > deadline:
                log = home.log(ETCD, ETCD)
                raise LabError(f"etcd: does not answer: {error}; see {log}") from error
            time.sleep(0.1)
        else:
            return


def ctl(home: Home, topology: Topology, argv: list[str], stdin: str = "") -> str:
    """etcdctl's answer. Raises LabError."""
    command = ["env", "ETCDCTL_API=3", "etcdctl", *access(home, topology).flags, *argv]
    entered = ["nsenter", f"--net={namespaces.path(home.netns(ETCD))}", "--", *command]
    return namespaces.run(entered, stdin=stdin)
