"""The lab's etcd: a real etcd-server with a data directory of its own, thrown away with the lab."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from felix_py.lab import certificates, namespaces
from felix_py.lab.addressing import etcd_address, node_address
from felix_py.lab.errors import LabError
from felix_py.lab.fabric import ETCD
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from felix_py.lab.topology import Topology

READY_SECONDS = 15.0
QUOTA_BYTES = 8 * 2**30
"""etcd keeps the history of every write; 2 GB, its default, fill within minutes of churn."""
COMPACTION = "10m"
INSIDE_PORT = 12379
"""Where the etcd listens that our manifest brings."""


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
    """How the etcd of this lab's nodes is reached from them: the lab's own or the one in its Kubernetes."""
    if topology.store_inside:
        address, folder = node_address(topology, machine(topology)).ip, inside(home)
        files = (str(folder / name) for name in ("ca.crt", "tls.crt", "tls.key"))
        return Access(f"https://{address}:{INSIDE_PORT}", *files)
    address = etcd_address(topology).ip
    if not topology.tls:
        return Access(f"http://{address}:2379")
    made = certificates.paths(home.directory / "certificates")
    return Access(f"https://{address}:2379", str(made.ca), str(made.client), str(made.client_key))


def machine(topology: Topology) -> str:
    """The machine that it runs on."""
    inside = topology.kubernetes if topology.store_inside else None
    return inside.control_plane if inside else ETCD


def inside(home: Home) -> Path:
    """The certificates of the administrator of the etcd in the Kubernetes."""
    return home.directory / "kubernetes" / "etcd"


def data_dir(home: Home) -> Path:
    """Where it keeps its data."""
    return home.disk(ETCD) / "data"


def start(home: Home, topology: Topology) -> None:
    """Start the lab's own and wait until it answers, but where the Kubernetes brings one. Raises LabError
    with the log's place.
    """
    own = Machine(home, ETCD)
    if topology.tls:
        certificates.make(home.directory / "certificates", str(etcd_address(topology).ip))
    own.prepare_disk()
    own.boot()
    if topology.store_inside:
        return
    own.keep(ETCD, arguments(home, topology))
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


def wait_ready(home: Home, topology: Topology, seconds: float = READY_SECONDS) -> None:
    """Wait until it answers a linearizable read. Raises LabError when the time is over."""
    deadline = time.monotonic() + seconds
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
    netns = namespaces.path(home.netns(machine(topology)))
    entered = ["nsenter", f"--net={netns}", "--", *command]
    return namespaces.run(entered, stdin=stdin)
