"""Frozen values of Calico's BGP resources. Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3`."""

from __future__ import annotations

from dataclasses import dataclass

from felix_py.datastore.model import AsNumber, IPAddress, IPNetwork, Metadata, NodeName


@dataclass(frozen=True, slots=True)
class PrefixAdvertisement:
    """Communities for announced prefixes inside a range, as values `aa:nn` or `aa:nn:mm`."""

    cidr: IPNetwork
    communities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BGPConfiguration:
    """Cluster-wide (`default`) or per-node (`node.<name>`) BGP settings; None: not set here."""

    meta: Metadata
    mesh_enabled: bool | None = None
    as_number: AsNumber | None = None
    listen_port: int | None = None
    mesh_max_restart_seconds: int | None = None
    mesh_password_secret: tuple[str, str] | None = None
    """(Secret's name, key in it)."""
    program_cluster_routes: bool | None = None
    """False: felix writes the kernel's routes to other nodes, BGP only announces."""
    prefix_advertisements: tuple[PrefixAdvertisement, ...] | None = None


@dataclass(frozen=True, slots=True)
class BGPPeer:
    """A peering for some or all nodes: with an address, or with the nodes a selector names."""

    meta: Metadata
    node: NodeName | None = None
    node_selector: str = ""
    peer_ip: IPAddress | None = None
    peer_port: int | None = None
    peer_selector: str = ""
    as_number: AsNumber | None = None
    local_as_number: AsNumber | None = None
    keep_original_next_hop: bool = False
    next_hop_mode: str = "Auto"
    use_node_ip: bool = True
    """sourceAddress UseNodeIP; False is None: the kernel chooses."""
    max_restart_seconds: int | None = None
    allowed_local_as: int = 0
    ttl_security: int | None = None
    """Hop count; None: off, several hops allowed."""
    password_secret: tuple[str, str] | None = None
    reachable_by: IPAddress | None = None
    filters: tuple[str, ...] = ()
