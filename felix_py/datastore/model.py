"""Frozen values of what the cluster knows, as Calico v3.32 means them.

Addresses are never text here and every value was validated by codec.py: inside, trust them.
Reference: Calico v3.32.1 `api/pkg/apis/projectcalico/v3` and `libcalico-go/lib/apis/internalapi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, Generic, NewType, TypeVar

from felix_py.datastore.floating import FloatingAddress
from felix_py.datastore.qos import QosControls

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface

NodeName = NewType("NodeName", str)
PoolName = NewType("PoolName", str)
HandleId = NewType("HandleId", str)
AsNumber = NewType("AsNumber", int)

KUBERNETES = "k8s"
"""The orchestrator of endpoints that are Kubernetes' pods, and of Nodes' orchRefs."""
DEFAULT_AS_NUMBER = AsNumber(64512)
DEFAULT_MAX_BLOCKS_PER_HOST = 20

T_co = TypeVar("T_co", covariant=True)


class Kind(StrEnum):
    """Resource kinds we read and write, each with its plural as the value's key segment."""

    BGP_CONFIGURATION = "bgpconfigurations"
    BGP_FILTER = "bgpfilters"
    BGP_PEER = "bgppeers"
    CLUSTER_INFORMATION = "clusterinformations"
    FELIX_CONFIGURATION = "felixconfigurations"
    GLOBAL_NETWORK_POLICY = "globalnetworkpolicies"
    GLOBAL_NETWORK_SET = "globalnetworksets"
    HOST_ENDPOINT = "hostendpoints"
    IP_POOL = "ippools"
    IP_RESERVATION = "ipreservations"
    KUBE_CONTROLLERS_CONFIGURATION = "kubecontrollersconfigurations"
    NETWORK_POLICY = "networkpolicies"
    NETWORK_SET = "networksets"
    NODE = "nodes"
    PROFILE = "profiles"
    STAGED_GLOBAL_NETWORK_POLICY = "stagedglobalnetworkpolicies"
    STAGED_KUBERNETES_NETWORK_POLICY = "stagedkubernetesnetworkpolicies"
    STAGED_NETWORK_POLICY = "stagednetworkpolicies"
    TIER = "tiers"
    WORKLOAD_ENDPOINT = "workloadendpoints"


@dataclass(frozen=True, slots=True)
class Stored(Generic[T_co]):
    """A value with where it stands in the store's history; `raw` is the text as stored."""

    value: T_co
    raw: bytes
    create_revision: int
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Invalid:
    """A value that counts as absent: the text names the field and what to do, for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What every resource carries besides its spec."""

    name: str
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    """A deletionTimestamp is set: the object is on its way out."""


class EncapMode(Enum):
    """When a pool's traffic is encapsulated."""

    NEVER = "Never"
    CROSS_SUBNET = "CrossSubnet"
    ALWAYS = "Always"


class PoolUse(Enum):
    """What a pool's addresses may be given to."""

    WORKLOAD = "Workload"
    TUNNEL = "Tunnel"
    LOAD_BALANCER = "LoadBalancer"


class AssignmentMode(Enum):
    """Manual pools are used only when a request names them."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


@dataclass(frozen=True, slots=True)
class IPPool:
    """A range that blocks are carved from."""

    meta: Metadata
    cidr: IPNetwork
    block_size: int
    ipip_mode: EncapMode = EncapMode.NEVER
    vxlan_mode: EncapMode = EncapMode.NEVER
    nat_outgoing: bool = False
    disabled: bool = False
    disable_bgp_export: bool = False
    node_selector: str = "all()"
    namespace_selector: str = ""
    allowed_uses: frozenset[PoolUse] = frozenset({PoolUse.WORKLOAD, PoolUse.TUNNEL})
    assignment_mode: AssignmentMode = AssignmentMode.AUTOMATIC
    allocatable: bool = True
    """False when status holds the condition Allocatable=False."""

    @property
    def name(self) -> PoolName:
        """The pool's name; pools are tried in the order of their names."""
        return PoolName(self.meta.name)


@dataclass(frozen=True, slots=True)
class Profile:
    """What endpoints that name it inherit; of its rules nothing is kept here."""

    meta: Metadata
    labels_to_apply: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenericResource:
    """A resource of a kind that no daemon reads: its spec as stored."""

    meta: Metadata
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IPReservation:
    """Addresses that automatic assignment passes over."""

    meta: Metadata
    reserved: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class ClusterInformation:
    """The cluster's identity and the switch that stops all address decisions."""

    meta: Metadata
    cluster_guid: str
    cluster_type: str
    calico_version: str
    datastore_ready: bool


@dataclass(frozen=True, slots=True)
class Node:
    """A node as BGP and IPAM see it. An address with its prefix is the node's local subnet."""

    meta: Metadata
    as_number: AsNumber | None = None
    ipv4_address: IPv4Interface | None = None
    ipv6_address: IPv6Interface | None = None
    ipv4_ipip_tunnel_address: IPv4Address | None = None
    route_reflector_cluster_id: str = ""
    ipv4_vxlan_tunnel_address: IPv4Address | None = None
    ipv6_vxlan_tunnel_address: IPv6Address | None = None
    vxlan_tunnel_mac: str = ""
    vxlan_tunnel_mac_v6: str = ""
    kubernetes_node: str = ""
    """The node of Kubernetes that it stands for (`orchRefs`); empty: none is named."""

    @property
    def name(self) -> NodeName:
        """The node's name."""
        return NodeName(self.meta.name)


@dataclass(frozen=True, slots=True)
class WorkloadEndpoint:
    """A pod's interface. `networks` are /32 or /128."""

    meta: Metadata
    orchestrator: str
    node: NodeName
    workload: str
    container_id: str
    pod: str
    endpoint: str
    networks: tuple[IPNetwork, ...]
    interface_name: str
    mac: str = ""
    profiles: tuple[str, ...] = ()
    service_account: str = ""
    qos: QosControls | Invalid | None = None
    """Invalid: the controls cannot be read and count as absent."""
    floating: tuple[FloatingAddress, ...] = ()
    """ipNATs: counts where FelixConfiguration floatingIPs is Enabled."""
    spoofable: tuple[IPNetwork, ...] = ()
    """allowSpoofedSourcePrefixes: sources it may send from besides its own addresses, where
    FelixConfiguration workloadSourceSpoofing is Any."""


class AffinityState(Enum):
    """Where a node stands with a block; empty text counts as confirmed (very old data)."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    PENDING_DELETION = "pendingDeletion"


@dataclass(frozen=True, slots=True)
class BlockAffinity:
    """A node's claim on a block; the node and block are in the key."""

    state: AffinityState


@dataclass(frozen=True, slots=True)
class Attribute:
    """Who holds addresses of a block. Equal attributes are stored once per block."""

    handle_id: HandleId | None = None
    secondary: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
    """Fields we do not know, kept as they are."""


@dataclass(frozen=True, slots=True)
class Block:
    """A pool's block. Ordinal = address minus the block's first address."""

    cidr: IPNetwork
    affinity: str | None
    """`host:<node>`, `virtual:load-balancer`, None after the affinity was released."""
    affinity_claim_time: str | None
    allocations: tuple[int | None, ...]
    """Per ordinal: None when free, else an index into `attributes`."""
    unallocated: tuple[int, ...]
    """Free ordinals as a queue: taken from the front, given back at the end."""
    attributes: tuple[Attribute, ...]
    sequence_number: int
    sequence_for_allocation: Mapping[int, int]
    extra: Mapping[str, object] = field(default_factory=dict)
    """Fields we do not know, kept as they are."""

    @property
    def host(self) -> NodeName | None:
        """The node that the block is affine to, if any."""
        if self.affinity is None or not self.affinity.startswith("host:"):
            return None
        return NodeName(self.affinity.removeprefix("host:"))


@dataclass(frozen=True, slots=True)
class Handle:
    """Blocks in which a handle holds addresses. The counts are advisory: scan the block."""

    blocks: Mapping[IPNetwork, int]


@dataclass(frozen=True, slots=True)
class IPAMConfig:
    """`/calico/ipam/v2/config`; a missing key means the defaults below, a missing field does not:
    Calico reads an absent auto_allocate_blocks as false (reference: Calico ipam_config.go)."""

    strict_affinity: bool = False
    auto_allocate_blocks: bool = True
    max_blocks_per_host: int = 0
    """0: DEFAULT_MAX_BLOCKS_PER_HOST applies."""
    kubevirt_persistence: str | None = None
