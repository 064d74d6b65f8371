"""Pure: the columns of each kind's table, as calicoctl has them where it has a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import (
    ClusterInformation,
    GenericResource,
    IPPool,
    IPReservation,
    Kind,
    Node,
    WorkloadEndpoint,
)
from felix_py.datastore.model_bgp import BGPConfiguration, BGPPeer
from felix_py.datastore.values import Value

NARROW: dict[Kind, tuple[str, ...]] = {
    Kind.IP_POOL: ("NAME", "CIDR", "SELECTOR"),
    Kind.IP_RESERVATION: ("NAME", "RESERVED"),
    Kind.BGP_CONFIGURATION: ("NAME", "MESH", "ASNUMBER"),
    Kind.BGP_PEER: ("NAME", "PEERIP", "NODE", "ASN"),
    Kind.FELIX_CONFIGURATION: ("NAME",),
    Kind.NODE: ("NAME",),
    Kind.PROFILE: ("NAME",),
    Kind.WORKLOAD_ENDPOINT: ("NAMESPACE", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE"),
    Kind.CLUSTER_INFORMATION: ("NAME", "GUID", "READY"),
    Kind.BGP_FILTER: ("NAME", "RULES"),
    Kind.KUBE_CONTROLLERS_CONFIGURATION: ("NAME",),
    Kind.HOST_ENDPOINT: ("NAME", "NODE"),
    Kind.NETWORK_SET: ("NAMESPACE", "NAME", "NETS"),
    Kind.GLOBAL_NETWORK_SET: ("NAME", "NETS"),
    Kind.TIER: ("NAME", "ORDER"),
    Kind.NETWORK_POLICY: ("NAMESPACE", "NAME", "TIER"),
    Kind.GLOBAL_NETWORK_POLICY: ("NAME", "TIER"),
    Kind.STAGED_NETWORK_POLICY: ("NAMESPACE", "NAME", "TIER"),
    Kind.STAGED_GLOBAL_NETWORK_POLICY: ("NAME", "TIER"),
    Kind.STAGED_KUBERNETES_NETWORK_POLICY: ("NAMESPACE", "NAME"),
}
EXTRA: dict[Kind, tuple[str, ...]] = {
    Kind.IP_POOL: ("BLOCKSIZE", "NAT", "IPIPMODE", "VXLANMODE", "DISABLED", "USES", "MODE"),
    Kind.BGP_CONFIGURATION: ("LISTENPORT",),
    Kind.BGP_PEER: ("PORT", "PEERSELECTOR", "NEXTHOPMODE"),
    Kind.NODE: ("ASN", "IPV4", "IPV6"),
    Kind.WORKLOAD_ENDPOINT: ("NAME", "CONTAINER", "PROFILES"),
    Kind.CLUSTER_INFORMATION: ("TYPE", "VERSION"),
    Kind.HOST_ENDPOINT: ("INTERFACE", "IPS", "PROFILES"),
    Kind.TIER: ("DEFAULTACTION",),
    Kind.NETWORK_POLICY: ("ORDER", "SELECTOR"),
    Kind.GLOBAL_NETWORK_POLICY: ("ORDER", "SELECTOR"),
    Kind.STAGED_NETWORK_POLICY: ("ORDER", "SELECTOR"),
    Kind.STAGED_GLOBAL_NETWORK_POLICY: ("ORDER", "SELECTOR"),
}


def headings(kind: Kind, *, wide: bool) -> tuple[str, ...]:
    """The column names of a kind."""
    return NARROW[kind] + (EXTRA.get(kind, ()) if wide else ())


def row(key: ResourceKey, value: Value, *, wide: bool) -> list[str]:
    """One object's cells, in the order of the headings."""
    narrow, extra = _cells(key, value)
    return narrow + (extra if wide else [])


def _cells(key: ResourceKey, value: Value) -> tuple[list[str], list[str]]:
    match value:
        case IPPool():
            return _pool(value)
        case IPReservation():
            return [key.name, ",".join(map(str, value.reserved))], []
        case BGPConfiguration():
            narrow = [key.name, _or_dash(value.mesh_enabled), _or_dash(value.as_number)]
            return narrow, [_or_dash(value.listen_port)]
        case BGPPeer():
            return _peer(key, value)
        case Node():
            addresses = [_or_dash(value.ipv4_address), _or_dash(value.ipv6_address)]
            return [key.name], [_or_dash(value.as_number, "(default)"), *addresses]
        case WorkloadEndpoint():
            return _endpoint(key, value)
        case ClusterInformation():
            narrow = [key.name, value.cluster_guid, str(value.datastore_ready).lower()]
            return narrow, [value.cluster_type, value.calico_version]
        case GenericResource():
            return _generic(key, value.spec)
        case _:
            return [key.name], []


def _pool(value: IPPool) -> tuple[list[str], list[str]]:
    return [value.name, str(value.cidr), value.node_selector], [
        str(value.block_size),
        str(value.nat_outgoing).lower(),
        value.ipip_mode.value,
        value.vxlan_mode.value,
        str(value.disabled).lower(),
        ",".join(sorted(use.value for use in value.allowed_uses)),
        value.assignment_mode.value,
    ]


def _peer(key: ResourceKey, value: BGPPeer) -> tuple[list[str], list[str]]:
    where = value.node or value.node_selector or "(global)"
    narrow = [key.name, _or_dash(value.peer_ip), where, _or_dash(value.as_number)]
    return narrow, [_or_dash(value.peer_port), value.peer_selector or "-", value.next_hop_mode]


def _endpoint(key: ResourceKey, value: WorkloadEndpoint) -> tuple[list[str], list[str]]:
    workload = value.pod or value.workload or value.container_id
    networks = ",".join(map(str, value.networks))
    narrow = [key.namespace, workload, value.node, networks, value.interface_name]
    return narrow, [key.name, value.container_id or "-", ",".join(value.profiles) or "-"]


def _generic(key: ResourceKey, spec: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    names = [key.namespace, key.name] if key.namespace else [key.name]
    match key.kind:
        case Kind.HOST_ENDPOINT:
            lists = [_joined(spec.get("expectedIPs")), _joined(spec.get("profiles"))]
            return [*names, _or_dash(spec.get("node"))], [
                _or_dash(spec.get("interfaceName")),
                *lists,
            ]
        case Kind.NETWORK_SET | Kind.GLOBAL_NETWORK_SET:
            return [*names, _joined(spec.get("nets"))], []
        case Kind.TIER:
            return [*names, _or_dash(spec.get("order"))], [_or_dash(spec.get("defaultAction"))]
        case Kind.BGP_FILTER:
            return [
                *names,
                str(sum(len(rules) for rules in spec.values() if isinstance(rules, list))),
            ], []
        case Kind.KUBE_CONTROLLERS_CONFIGURATION | Kind.STAGED_KUBERNETES_NETWORK_POLICY:
            return names, []
        case _:
            chosen = [_or_dash(spec.get("order")), _or_dash(spec.get("selector"))]
            return [*names, str(spec.get("tier") or "default")], chosen


def _joined(values: object) -> str:
    return ",".join(map(str, values)) if isinstance(values, list) and values else "-"


def _or_dash(value: object, otherwise: str = "-") -> str:
    if value is None:
        return otherwise
    return str(value).lower() if isinstance(value, bool) else str(value)
