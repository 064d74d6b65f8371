"""Where everything of a lab's Kubernetes lies and which addresses it has. Pure arithmetic on the topology."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from felix_py.lab.addressing import IPAddress, node_address, targets_outside
from felix_py.lab.home import Home
from felix_py.lab.topology import KubernetesSpec, Topology

BINARIES = "/opt/kubernetes/bin"
"""Where a machine sees the programs."""
CONFIGURATION = "/etc/kubernetes"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
OUTSIDE_ZONE = "outside.example"
"""The zone that the resolver beyond the racks answers for."""


def spec(topology: Topology) -> KubernetesSpec:
    """What the topology asks for; only where it asks for a Kubernetes."""
    assert topology.kubernetes is not None, f"{topology.name} has no kubernetes"
    return topology.kubernetes


def api_address(topology: Topology) -> IPAddress:
    """The address of the control plane's machine."""
    return node_address(topology, spec(topology).control_plane).ip


def api_service(topology: Topology) -> IPv4Address:
    """The API server's address as a service."""
    return spec(topology).services[1]


def dns_service(topology: Topology) -> IPv4Address:
    """The cluster's resolver, as a service."""
    return spec(topology).services[10]


def resolver(topology: Topology) -> tuple[str, IPAddress]:
    """The machine, and its address, that resolves names for everybody: beyond the racks."""
    beyond = [outside.name for outside in topology.outsides]
    name = beyond[0] if beyond else topology.racks[0].tor.name
    return name, targets_outside(topology)[name]


def pods_cidr(topology: Topology) -> str:
    """Where pods' addresses come from."""
    return str(topology.pools[0].spec["cidr"])


def directory(home: Home) -> Path:
    """The lab's own files for its Kubernetes."""
    return home.directory / "kubernetes"


def admin_config(home: Home) -> Path:
    """The administrator's kubeconfig."""
    return directory(home) / "admin.conf"
