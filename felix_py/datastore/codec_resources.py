"""Pools, reservations, cluster information and nodes: stored JSON to frozen values.

Rules: Calico v3.32.1 `libcalico-go/lib/validator/v3`, `api/pkg/apis/projectcalico/v3`, and for Node
`libcalico-go/lib/apis/internalapi`. null and absent mean the same, as in Go.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any, Generic, TypeVar

import msgspec

from felix_py.datastore import codec_fields as fields
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.codec_json import loads
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    KUBERNETES,
    AssignmentMode,
    ClusterInformation,
    EncapMode,
    GenericResource,
    IPPool,
    IPReservation,
    Metadata,
    Node,
    PoolUse,
    Profile,
)

Spec = TypeVar("Spec")

_LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))
_CLUSTER_ID = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", re.ASCII)
_DEFAULT_USES = (PoolUse.WORKLOAD.value, PoolUse.TUNNEL.value)


class _Metadata(msgspec.Struct, rename="camel"):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Resource(msgspec.Struct, Generic[Spec]):
    """Any resource as stored; the spec's type is the kind's."""

    metadata: _Metadata | None = None
    spec: Spec | None = None
    status: dict[str, Any] | None = None


class _Profile(msgspec.Struct, rename="camel"):
    labels_to_apply: dict[str, str] | None = None


class _Pool(msgspec.Struct, rename="camel"):
    cidr: str = ""
    block_size: int | None = None
    ipip_mode: str | None = None
    vxlan_mode: str | None = None
    nat_outgoing: bool | None = None
    disabled: bool | None = None
    disable_bgp_export: bool | None = msgspec.field(default=None, name="disableBGPExport")
    node_selector: str | None = None
    namespace_selector: str | None = None
    allowed_uses: list[str] | None = None
    assignment_mode: str | None = None


class _Reservation(msgspec.Struct):
    reserved_cidrs: list[str] | None = msgspec.field(default=None, name="reservedCIDRs")


class _Cluster(msgspec.Struct, rename="camel"):
    cluster_guid: str | None = msgspec.field(default=None, name="clusterGUID")
    cluster_type: str | None = None
    calico_version: str | None = None
    datastore_ready: bool | None = None


class _NodeBGP(msgspec.Struct, rename="camel"):
    as_number: int | str | None = None
    ipv4_address: str | None = msgspec.field(default=None, name="ipv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="ipv6Address")
    ipip: str | None = msgspec.field(default=None, name="ipv4IPIPTunnelAddr")
    reflector: str | None = msgspec.field(default=None, name="routeReflectorClusterID")


class _OrchRef(msgspec.Struct, rename="camel"):
    node_name: str | None = None
    orchestrator: str | None = None


class _Node(msgspec.Struct):
    bgp: _NodeBGP | None = None
    references: list[_OrchRef] | None = msgspec.field(default=None, name="orchRefs")
    vxlan_v4: str | None = msgspec.field(default=None, name="ipv4VXLANTunnelAddr")
    vxlan_v6: str | None = msgspec.field(default=None, name="ipv6VXLANTunnelAddr")
    mac: str | None = msgspec.field(default=None, name="vxlanTunnelMACAddr")
    mac_v6: str | None = msgspec.field(default=None, name="vxlanTunnelMACAddrV6")


_POOL = msgspec.json.Decoder(Resource[_Pool])
_PROFILE = msgspec.json.Decoder(Resource[_Profile])
_GENERIC = msgspec.json.Decoder(Resource[dict[str, Any]])
_RESERVATION = msgspec.json.Decoder(Resource[_Reservation])
_CLUSTER = msgspec.json.Decoder(Resource[_Cluster])
_NODE = msgspec.json.Decoder(Resource[_Node])


def metadata(key: ResourceKey, wire: Resource[Spec]) -> Metadata:
    """The object's metadata; its name and namespace, where given, must be the key's."""
    found = wire.metadata or _Metadata()
    for field, stated, actual in (
        ("metadata.name", found.name, key.name),
        ("metadata.namespace", found.namespace, key.namespace),
    ):
        if stated and stated != actual:
            raise BadField(field, f"{stated!r} is not the key's {actual!r}; make them equal")
    return Metadata(
        name=key.name,
        namespace=key.namespace,
        uid=found.uid or "",
        creation_timestamp=found.creation_timestamp or "",
        labels=found.labels or {},
        annotations=found.annotations or {},
        deleting=bool(found.deletion_timestamp),
    )


def decode_pool(key: ResourceKey, raw: bytes) -> IPPool:
    """A pool with Calico's defaults filled in. Raises BadField."""
    wire = loads(raw, _POOL)
    spec = wire.spec or _Pool()
    cidr = fields.masked_network("spec.cidr", fields.required("spec.cidr", spec.cidr))
    uses = spec.allowed_uses or _DEFAULT_USES
    pool = IPPool(
        meta=metadata(key, wire),
        cidr=cidr,
        block_size=spec.block_size or (26 if cidr.version == 4 else 122),
        ipip_mode=fields.choice("spec.ipipMode", spec.ipip_mode or "", EncapMode, EncapMode.NEVER),
        vxlan_mode=fields.choice(
            "spec.vxlanMode", spec.vxlan_mode or "", EncapMode, EncapMode.NEVER
        ),
        nat_outgoing=bool(spec.nat_outgoing),
        disabled=bool(spec.disabled),
        disable_bgp_export=bool(spec.disable_bgp_export),
        node_selector=fields.selector("spec.nodeSelector", spec.node_selector or "all()"),
        namespace_selector=fields.selector("spec.namespaceSelector", spec.namespace_selector or ""),
        allowed_uses=frozenset(
            fields.choice(
                "spec.allowedUses",
                fields.required("spec.allowedUses", use),
                PoolUse,
                PoolUse.WORKLOAD,
            )
            for use in uses
        ),
        assignment_mode=fields.choice(
            "spec.assignmentMode",
            spec.assignment_mode or "",
            AssignmentMode,
            AssignmentMode.AUTOMATIC,
        ),
        allocatable=_allocatable(wire.status or {}),
    )
    _check_pool_range(pool)
    _check_pool_uses(pool, explicit=bool(spec.allowed_uses))
    return pool


def decode_reservation(key: ResourceKey, raw: bytes) -> IPReservation:
    """Reserved addresses; host bits are ignored. Raises BadField."""
    wire = loads(raw, _RESERVATION)
    texts = (wire.spec.reserved_cidrs if wire.spec else None) or ()
    reserved = tuple(
        fields.network(f"spec.reservedCIDRs[{n}]", text) for n, text in enumerate(texts)
    )
    return IPReservation(metadata(key, wire), reserved)


def decode_profile(key: ResourceKey, raw: bytes) -> Profile:
    """A profile; its rules are not read. Raises BadField."""
    wire = loads(raw, _PROFILE)
    return Profile(metadata(key, wire), (wire.spec.labels_to_apply if wire.spec else None) or {})


def decode_generic(key: ResourceKey, raw: bytes) -> GenericResource:
    """A resource that no daemon reads; its spec is not looked into. Raises BadField."""
    wire = loads(raw, _GENERIC)
    return GenericResource(metadata(key, wire), wire.spec or {})


def decode_cluster(key: ResourceKey, raw: bytes) -> ClusterInformation:
    """The cluster's identity; an absent datastoreReady is false. Raises BadField."""
    wire = loads(raw, _CLUSTER)
    spec = wire.spec or _Cluster()
    return ClusterInformation(
        meta=metadata(key, wire),
        cluster_guid=fields.required("spec.clusterGUID", spec.cluster_guid or ""),
        cluster_type=spec.cluster_type or "",
        calico_version=spec.calico_version or "",
        datastore_ready=bool(spec.datastore_ready),
    )


def decode_node(key: ResourceKey, raw: bytes) -> Node:
    """A node; everything but its name may be missing. Raises BadField."""
    wire = loads(raw, _NODE)
    spec = wire.spec or _Node()
    bgp = spec.bgp or _NodeBGP()
    reflector = bgp.reflector or ""
    if reflector and not _CLUSTER_ID.fullmatch(reflector):
        problem = f"{reflector!r} is not a dotted quad; write it as 244.0.0.1"
        raise BadField("spec.bgp.routeReflectorClusterID", problem)
    return Node(
        meta=metadata(key, wire),
        as_number=fields.as_number("spec.bgp.asNumber", bgp.as_number),
        ipv4_address=fields.interface_v4("spec.bgp.ipv4Address", bgp.ipv4_address or ""),
        ipv6_address=fields.interface_v6("spec.bgp.ipv6Address", bgp.ipv6_address or ""),
        ipv4_ipip_tunnel_address=fields.address_v4("spec.bgp.ipv4IPIPTunnelAddr", bgp.ipip or ""),
        route_reflector_cluster_id=reflector,
        ipv4_vxlan_tunnel_address=fields.address_v4(
            "spec.ipv4VXLANTunnelAddr", spec.vxlan_v4 or ""
        ),
        ipv6_vxlan_tunnel_address=fields.address_v6(
            "spec.ipv6VXLANTunnelAddr", spec.vxlan_v6 or ""
        ),
        vxlan_tunnel_mac=fields.mac("spec.vxlanTunnelMACAddr", spec.mac or ""),
        vxlan_tunnel_mac_v6=fields.mac("spec.vxlanTunnelMACAddrV6", spec.mac_v6 or ""),
        kubernetes_node=next(
            (
                each.node_name or ""
                for each in spec.references or ()
                if each.orchestrator == KUBERNETES
            ),
            "",
        ),
    )


def _allocatable(status: dict[str, Any]) -> bool:
    conditions = status.get("conditions")
    return not any(
        isinstance(each, dict)
        and each.get("type") == "Allocatable"
        and each.get("status") == "False"
        for each in (conditions if isinstance(conditions, list) else ())
    )


def _check_pool_range(pool: IPPool) -> None:
    lowest, highest = (20, 32) if pool.cidr.version == 4 else (116, 128)
    fields.in_range("spec.blockSize", pool.block_size, lowest, highest)
    if pool.cidr.prefixlen > pool.block_size and not pool.disabled:
        problem = f"/{pool.block_size} is larger than the pool {pool.cidr}; write a longer prefix"
        raise BadField("spec.blockSize", problem)
    if any(each.version == pool.cidr.version and each.overlaps(pool.cidr) for each in _LINK_LOCAL):
        raise BadField("spec.cidr", f"{pool.cidr} overlaps the link-local range; choose another")
    if pool.ipip_mode is not EncapMode.NEVER and pool.cidr.version == 6:
        raise BadField("spec.ipipMode", "IPIP carries no IPv6; write Never or use vxlanMode")
    if EncapMode.NEVER not in {pool.ipip_mode, pool.vxlan_mode}:
        raise BadField("spec.vxlanMode", "ipipMode is set too; set one of them to Never")


def _check_pool_uses(pool: IPPool, *, explicit: bool) -> None:
    if explicit and pool.namespace_selector and PoolUse.TUNNEL in pool.allowed_uses:
        problem = "cannot go with the use Tunnel; remove it from allowedUses"
        raise BadField("spec.namespaceSelector", problem)
    if PoolUse.LOAD_BALANCER not in pool.allowed_uses:
        return
    if len(pool.allowed_uses) > 1:
        raise BadField("spec.allowedUses", "LoadBalancer must be alone; make a pool of its own")
    if pool.ipip_mode is not EncapMode.NEVER or pool.vxlan_mode is not EncapMode.NEVER:
        raise BadField("spec.allowedUses", "LoadBalancer takes no encapsulation; write Never")
    if pool.node_selector != "all()" or pool.disable_bgp_export:
        problem = "LoadBalancer needs nodeSelector all() and BGP export; correct these fields"
        raise BadField("spec.allowedUses", problem)
