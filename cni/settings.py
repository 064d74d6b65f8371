"""The configuration of the CNI server, with every default."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from felix_py.datastore.settings import DatastoreSettings
from felix_py.kube_api.settings import KubernetesSettings
from felix_py.runtime.logs import LogSettings
from felix_py.runtime.settings import NodeSettings


class CniSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The `cni` section."""

    mtu: int = 0
    """MTU of pods whose network configuration names none; 0: what felix finds right (<stateDir>/mtu)."""
    socket: str = ""
    """Where the shim finds the server; empty: <runDir>/cni.sock. The shim reads the same variable."""
    bin_dir: str = ""
    """Where the runtime looks for plugins (/opt/cni/bin, wherever that is mounted); empty: the shim is not
    installed at start, and no other plugin is chained."""
    conf_dir: str = ""
    """Where the runtime looks for networks (/etc/cni/net.d, wherever that is mounted); empty: no conflist
    is written."""
    plugin_dir: str = "/opt/cni/bin"
    """Where `felix-cni install` takes the reference plugins from (portmap, bandwidth, loopback)."""
    network_name: str = "k8s-pod-network"
    """Name of the network in the conflist that is written; the first part of every handle."""
    ip_addrs_no_ipam: bool = False
    """Whether pods of that network may have addresses past IPAM (annotation ipAddrsNoIpam)."""
    floating_ips: bool = False
    """Whether pods of that network may have floating addresses (annotation floatingIPs)."""
    assign_ipv4: bool = True
    assign_ipv6: bool = False
    """Which addresses pods of that network get; a conflist of one's own says so in its `ipam`."""
    audit_seconds: float = 600.0
    """How often one of the nodes audits all addresses in etcd; 0: this node never does."""
    quarantine_seconds: float = 900.0
    """For how long a finding must stand unchanged before it is put right."""
    recovery: Literal["automatic", "manual"] = "automatic"
    """Who accepts a store that went back: the nodes by themselves, where every node answered and nothing
    conflicts; or always a person (felixctl ipam recover)."""
    metrics_address: str = "127.0.0.1"
    metrics_port: int = 0
    """0: no metrics are served."""
    health_address: str = "127.0.0.1"
    """Where liveness and readiness are asked for by HTTP."""
    health_port: int = 0
    """0: nobody is answered."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every section that the CNI server reads."""

    node: NodeSettings = NodeSettings()
    datastore: DatastoreSettings = DatastoreSettings()
    log: LogSettings = LogSettings()
    cni: CniSettings = CniSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()

    @property
    def socket_path(self) -> Path:
        """Where the server listens."""
        return Path(self.cni.socket or f"{self.node.run_dir}/cni.sock")
