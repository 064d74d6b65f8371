"""Documents of Calico's API v1, and the fields that v3 has dropped since, as v3 has them today. Pure.

Reference: Calico v3.32.1 `libcalico-go/lib/upgrade/converters`, `lib/apis/v1`. A policy of the tier default
keeps its plain name, as 3.32 stores it; one of another tier gets the tier before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from felix_py.ctl.calc.convert_names import (
    dotless_name,
    ip_name,
    node_name,
    plain_name,
    profile_name,
)
from felix_py.ctl.calc.convert_rules import ConvertError, mapping, rules, selector
from felix_py.datastore.codec_documents import API_VERSION

OLD_VERSIONS = frozenset({"v1", "projectcalico.org/v1"})
NAMESPACE_LABEL = "projectcalico.org/namespace"
_OLD_NAMESPACE_LABEL = "calico/k8s_ns"

Made = tuple[str, dict[str, Any], dict[str, Any]]
"""Kind, metadata and spec."""


def convert(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One document as v3 has it. Raises ConvertError."""
    kind, version = str(raw.get("kind") or ""), raw.get("apiVersion")
    if version == API_VERSION:
        return modern(raw)
    converter = _CONVERTERS.get(kind.lower())
    if version not in OLD_VERSIONS or converter is None:
        known = ", ".join(sorted(_CONVERTERS))
        raise ConvertError(f"{kind} of {version}: not convertible; of v1 these are: {known}")
    title, metadata, spec = converter(mapping(raw.get("metadata")), mapping(raw.get("spec")))
    given = {name: value for name, value in spec.items() if value not in (None, [], {}, "")}
    metadata = {name: value for name, value in metadata.items() if value}
    return {"kind": title, "apiVersion": API_VERSION, "metadata": metadata, "spec": given}


def modern(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A document of v3 without the fields of its first releases, which pools may still have."""
    spec = raw.get("spec")
    if raw.get("kind") != "IPPool" or not isinstance(spec, Mapping):
        return dict(raw)
    spec = dict(spec)
    if isinstance(spec.get("ipip"), Mapping):
        spec.setdefault("ipipMode", _ipip_mode(spec["ipip"]))
        del spec["ipip"]
    if isinstance(spec.get("nat-outgoing"), bool):
        spec.setdefault("natOutgoing", spec.pop("nat-outgoing"))
        spec.pop("nat-outgoing", None)
    return {**raw, "spec": spec}


def _ipip_mode(ipip: Mapping[str, Any]) -> str:
    if not ipip.get("enabled"):
        return "Never"
    mode = str(ipip.get("mode") or "always").lower()
    return "CrossSubnet" if mode == "cross-subnet" else "Always"


def _pool(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Made:
    cidr = _network(metadata.get("cidr"), "metadata.cidr")
    made = {
        "cidr": cidr,
        "ipipMode": _ipip_mode(mapping(spec.get("ipip"))),
        "natOutgoing": bool(spec.get("nat-outgoing")),
        "disabled": bool(spec.get("disabled")),
    }
    address, _, length = cidr.partition("/")
    name = f"{ip_name(address)}-{length}"
    return "IPPool", {"name": name}, {field: value for field, value in made.items() if value}


def _peer(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Made:
    address = _address(metadata.get("peerIP"), "metadata.peerIP")
    scope, node = metadata.get("scope"), str(metadata.get("node") or "")
    if (scope == "node") != bool(node) or scope not in {"node", "global"}:
        raise ConvertError("bgpPeer: metadata.scope is global, or node with metadata.node")
    name = ip_name(address)
    made = {"peerIP": address, "asNumber": spec.get("asNumber")}
    if not node:
        return "BGPPeer", {"name": name}, made
    return "BGPPeer", {"name": f"{node_name(node)}.{name}"}, {"node": node_name(node), **made}


def _node(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Made:
    bgp = mapping(spec.get("bgp"))
    made: dict[str, Any] = {
        "asNumber": bgp.get("asNumber"),
        "ipv4Address": _interface(bgp.get("ipv4Address")),
        "ipv6Address": _interface(bgp.get("ipv6Address")),
    }
    references = [
        {"nodeName": each.get("nodeName"), "orchestrator": each.get("orchestrator")}
        for each in map(mapping, spec.get("orchRefs") or ())
    ]
    name = node_name(_required(metadata, "name", "node"))
    held = {field: value for field, value in made.items() if value}
    return "Node", {"name": name}, {"bgp": held, "orchRefs": references}


def _host_endpoint(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Made:
    node = node_name(_required(metadata, "node", "hostEndpoint"))
    name = plain_name(f"{node}.{_required(metadata, 'name', 'hostEndpoint')}")
    made = {
        "node": node,
        "interfaceName": spec.get("interfaceName"),
        "expectedIPs": [str(address) for address in spec.get("expectedIPs") or ()],
        "profiles": [profile_name(str(each)) for each in spec.get("profiles") or ()],
        "ports": _ports(spec),
    }
    return "HostEndpoint", {"name": name, "labels": mapping(metadata.get("labels"))}, made


def _workload_endpoint(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Made:
    orchestrator = plain_name(_required(metadata, "orchestrator", "workloadEndpoint"))
    workload = _required(metadata, "workload", "workloadEndpoint")
    labels = dict(mapping(metadata.get("labels")))
    if _OLD_NAMESPACE_LABEL in labels:
        labels[NAMESPACE_LABEL] = labels.pop(_OLD_NAMESPACE_LABEL)
    namespace, who = "default", {}
    match orchestrator:
        case "k8s":
            namespace, dot, pod = workload.partition(".")
            if not dot:
                raise ConvertError(f"workloadEndpoint: metadata.workload {workload!r} is no pod's")
            who = {"pod": pod, "containerID": metadata.get("activeInstanceID")}
        case "cni":
            who = {"containerID": workload}
        case "libnetwork":
            who = {"workload": "libnetwork"}
        case _:
            who = {"workload": plain_name(workload)}
    made = {
        "orchestrator": orchestrator,
        "node": node_name(_required(metadata, "node", "workloadEndpoint")),
        **who,
        "endpoint": plain_name(_required(metadata, "name", "workloadEndpoint")),
        "ipNetworks": [_network(each, "spec.ipNetworks") for each in spec.get("ipNetworks") or ()],
        "profiles": [profile_name(str(each)) for each in spec.get("profiles") or ()],
        "ports": _ports(spec),
    }
    same = ("ipNATs", "ipv4Gateway", "ipv6Gateway", "interfaceName", "mac")
    made |= {field: spec.get(field) for field in same}
    return "WorkloadEndpoint", {"namespace": namespace, "labels": labels}, made


def _policy(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Made:
    tier = dotless_name(str(metadata.get("tier") or "default"))
    name = dotless_name(_required(metadata, "name", "policy"))
    before = bool(spec.get("doNotTrack") or spec.get("preDNAT"))
    made = {
        "tier": tier,
        "order": spec.get("order"),
        "selector": selector(spec.get("selector")),
        "ingress": rules(spec.get("ingress")),
        "egress": rules(spec.get("egress")),
        "types": [str(each).capitalize() for each in spec.get("types") or ()],
        "doNotTrack": spec.get("doNotTrack"),
        "preDNAT": spec.get("preDNAT"),
        "applyOnForward": before or None,
    }
    full = name if tier == "default" else f"{tier}.{name}"
    annotations = mapping(metadata.get("annotations"))
    return "GlobalNetworkPolicy", {"name": full, "annotations": annotations}, made


def _profile(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Made:
    labels = dict(mapping(metadata.get("labels")))
    for tag in map(str, metadata.get("tags") or ()):
        if tag in labels:
            raise ConvertError(f"profile: metadata.tags: {tag} is a label, too; rename one")
        labels[tag] = ""
    made = {
        "ingress": rules(spec.get("ingress")),
        "egress": rules(spec.get("egress")),
        "labelsToApply": labels,
    }
    return "Profile", {"name": profile_name(_required(metadata, "name", "profile"))}, made


def _ports(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**each, "protocol": rules([{"protocol": each.get("protocol")}])[0].get("protocol")}
        for each in map(mapping, spec.get("ports") or ())
    ]


def _required(metadata: Mapping[str, Any], field: str, kind: str) -> str:
    text = str(metadata.get(field) or "")
    if not text:
        raise ConvertError(f"{kind}: metadata.{field} is missing; set it")
    return text


def _network(value: object, field: str) -> str:
    try:
        return str(ip_network(str(value), strict=False))
    except ValueError:
        raise ConvertError(f"{field}: {value!r} is not a network") from None


def _address(value: object, field: str) -> str:
    try:
        return str(ip_address(str(value)))
    except ValueError:
        raise ConvertError(f"{field}: {value!r} is not an address") from None


def _interface(value: object) -> str:
    try:
        return str(ip_interface(str(value))) if value else ""
    except ValueError:
        raise ConvertError(f"spec.bgp: {value!r} is not an address") from None


_CONVERTERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Made]] = {
    "ippool": _pool,
    "bgppeer": _peer,
    "node": _node,
    "hostendpoint": _host_endpoint,
    "workloadendpoint": _workload_endpoint,
    "policy": _policy,
    "profile": _profile,
}
