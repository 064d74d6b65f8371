"""Resource documents for writing: a new one, or a stored one with some fields changed.

What we do not know in a stored document survives. Order of fields: Calico v3.32.1's structs; readers
do not care, people who compare do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.codec_json import dumps, loads
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind
from felix_py.runtime.errors import RefusedError

API_VERSION = "projectcalico.org/v3"

KIND_NAMES = {
    Kind.BGP_CONFIGURATION: "BGPConfiguration",
    Kind.BGP_FILTER: "BGPFilter",
    Kind.BGP_PEER: "BGPPeer",
    Kind.CLUSTER_INFORMATION: "ClusterInformation",
    Kind.FELIX_CONFIGURATION: "FelixConfiguration",
    Kind.GLOBAL_NETWORK_POLICY: "GlobalNetworkPolicy",
    Kind.GLOBAL_NETWORK_SET: "GlobalNetworkSet",
    Kind.HOST_ENDPOINT: "HostEndpoint",
    Kind.IP_POOL: "IPPool",
    Kind.IP_RESERVATION: "IPReservation",
    Kind.KUBE_CONTROLLERS_CONFIGURATION: "KubeControllersConfiguration",
    Kind.NETWORK_POLICY: "NetworkPolicy",
    Kind.NETWORK_SET: "NetworkSet",
    Kind.NODE: "Node",
    Kind.PROFILE: "Profile",
    Kind.STAGED_GLOBAL_NETWORK_POLICY: "StagedGlobalNetworkPolicy",
    Kind.STAGED_KUBERNETES_NETWORK_POLICY: "StagedKubernetesNetworkPolicy",
    Kind.STAGED_NETWORK_POLICY: "StagedNetworkPolicy",
    Kind.TIER: "Tier",
    Kind.WORKLOAD_ENDPOINT: "WorkloadEndpoint",
}
_WITH_STATUS = frozenset({Kind.NODE, Kind.TIER, Kind.KUBE_CONTROLLERS_CONFIGURATION})
"""Calico writes their status even when there is none."""
_ORDERED = frozenset(
    {Kind.IP_POOL, Kind.CLUSTER_INFORMATION, Kind.NODE, Kind.WORKLOAD_ENDPOINT, Kind.PROFILE}
)
"""Kinds whose fields are put in order here; felixctl orders the others by its tables."""

_ORDER = (
    *("cidr", "vxlanMode", "ipipMode", "natOutgoing", "disabled", "disableBGPExport", "blockSize"),
    *("nodeSelector", "namespaceSelector", "allowedUses", "assignmentMode"),
    *("clusterGUID", "clusterType", "calicoVersion", "datastoreReady"),
    *("bgp", "ipv4VXLANTunnelAddr", "vxlanTunnelMACAddr", "ipv6VXLANTunnelAddr"),
    *("vxlanTunnelMACAddrV6", "orchRefs", "wireguard", "addresses", "interfaces"),
    *("orchestrator", "workload", "node", "containerID", "pod", "endpoint", "serviceAccountName"),
    *("ipNetworks", "ipNATs", "ipv4Gateway", "ipv6Gateway", "profiles", "interfaceName", "mac"),
    *("ports", "ingress", "egress", "labelsToApply"),
)
_PLACE = {name: place for place, name in enumerate(_ORDER)}
_DOCUMENT = msgspec.json.Decoder(dict[str, Any])
_NEVER_STORED = ("resourceVersion", "selfLink")


def render_new(  # noqa: PLR0913  the parts of a document, by name
    key: ResourceKey,
    spec: Mapping[str, object],
    *,
    uid: str,
    created_at: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    status: Mapping[str, object] | None = None,
    generate_name: str = "",
    others: Mapping[str, object] | None = None,
) -> bytes:
    """A resource that is not stored yet; `created_at` is RFC 3339 UTC in whole seconds.

    Calico refuses to update an object without uid or creationTimestamp, so both are needed.
    others: what metadata holds besides, such as ownerReferences and finalizers.
    """
    metadata: dict[str, object] = {"name": key.name}
    if generate_name:
        metadata["generateName"] = generate_name
    if key.namespace:
        metadata["namespace"] = key.namespace
    metadata |= {"uid": uid, "creationTimestamp": created_at}
    if labels:
        metadata["labels"] = dict(sorted(labels.items()))
    if annotations:
        metadata["annotations"] = dict(sorted(annotations.items()))
    metadata |= others or {}
    document: dict[str, object] = {
        "kind": KIND_NAMES[key.kind],
        "apiVersion": API_VERSION,
        "metadata": metadata,
        "spec": dict(sorted(spec.items(), key=_place) if key.kind in _ORDERED else spec.items()),
    }
    if status is not None or key.kind in _WITH_STATUS:
        document["status"] = dict(status or {})
    return dumps(document)


def rewrite(
    raw: bytes,
    *,
    spec: Mapping[str, object | None] | None = None,
    labels: Mapping[str, str | None] | None = None,
    annotations: Mapping[str, str | None] | None = None,
    status: Mapping[str, object | None] | None = None,
) -> bytes:
    """A stored document with these fields changed; None removes a field, all else survives.

    A mapping (`bgp`) is merged into the stored mapping by its own fields, one level deep; any other
    value replaces. Raises RefusedError when the stored text is not an object.
    """
    try:
        document = loads(raw, _DOCUMENT)
    except BadField as error:
        raise RefusedError(f"stored document: {error}") from None
    metadata = _mapping(document.get("metadata"))
    for name in _NEVER_STORED:
        metadata.pop(name, None)
    for name, changes in (("labels", labels), ("annotations", annotations)):
        if changes is not None:
            metadata[name] = dict(sorted(_merged(metadata.get(name), changes, deep=False).items()))
            if not metadata[name]:
                del metadata[name]
    kind = document.pop("kind", "")
    document.pop("apiVersion", None)
    document.pop("metadata", None)
    new_spec = _merged(document.pop("spec", None), spec or {}, deep=True)
    result = {"kind": kind, "apiVersion": API_VERSION, "metadata": metadata}
    result["spec"] = new_spec
    if status is not None:
        document["status"] = _merged(document.get("status"), status, deep=True)
    return dumps({**result, **document})


def _merged(stored: object, changes: Mapping[str, object | None], *, deep: bool) -> dict[str, Any]:
    result = _mapping(stored)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif deep and isinstance(value, Mapping):
            result[name] = _merged(result.get(name), value, deep=False)
            if not result[name]:
                del result[name]
        else:
            result[name] = value
    return result


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _place(item: tuple[str, object]) -> int:
    return _PLACE.get(item[0], len(_ORDER))
