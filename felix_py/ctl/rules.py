"""Pure: what Calico's client does to a resource before it is written.

Defaults are written into the object (Calico v3.32 applies its CRD's defaults in etcd mode), an
endpoint's name and two labels follow from its spec, and a pool's range never changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_network

from felix_py.ctl import policies
from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError
from felix_py.ctl.schema.scalars import DNS_LABEL
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPNetwork, IPPool, Kind

NAMESPACE_LABEL = "projectcalico.org/namespace"
ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
OWN_ANNOTATIONS = "felix-py.io/"
"""Annotations of ours; what daemons keep in them no file of a user takes away."""
OWN_LABELS: Mapping[Kind, frozenset[str]] = {
    Kind.WORKLOAD_ENDPOINT: frozenset({NAMESPACE_LABEL, ORCHESTRATOR_LABEL}),
    **dict.fromkeys(sorted(policies.TIERED), frozenset({policies.TIER_LABEL})),
}
"""Labels that say what the object says elsewhere; Calico's client overwrites them."""
ALLOW_ALL = "projectcalico-default-allow"
"""The profile that every list shows and nobody stores."""

_POLICY_NAME = re.compile(rf"{DNS_LABEL.pattern}(\.{DNS_LABEL.pattern})?")
_SETS = (Kind.NETWORK_SET, Kind.GLOBAL_NETWORK_SET)

DEFAULTS: Mapping[Kind, Mapping[str, object]] = {
    Kind.BGP_CONFIGURATION: {
        "logSeverityScreen": "Info",
        "serviceLoadBalancerAggregation": "Enabled",
    },
    Kind.FELIX_CONFIGURATION: {
        "nftablesMode": "Auto",
        "bpfConnectTimeLoadBalancing": "TCP",
        "bpfHostNetworkedNATWithoutCTLB": "Enabled",
        "floatingIPs": "Disabled",
    },
    Kind.KUBE_CONTROLLERS_CONFIGURATION: {"prometheusMetricsPort": 9094},
    Kind.STAGED_NETWORK_POLICY: {"stagedAction": "Set"},
    Kind.STAGED_GLOBAL_NETWORK_POLICY: {"stagedAction": "Set"},
    Kind.STAGED_KUBERNETES_NETWORK_POLICY: {"stagedAction": "Set"},
}
"""What Calico's client writes into objects where it is not set."""


def complete(document: Document) -> Document:
    """The document in Calico's form: checked, with defaults and what follows from the spec.

    Raises CommandError that names the object and the field.
    """
    shape = document.info.shape
    try:
        spec = shape.read("spec", document.spec)
    except BadField as error:
        raise CommandError(f"{document.title}: {error}") from None
    defaults = DEFAULTS.get(document.key.kind, {})
    if document.key.kind is Kind.IP_POOL:
        defaults = _pool_defaults(spec)
    spec = shape.arranged({**defaults, **spec})
    _check_name(document)
    following = _FOLLOWING.get(document.key.kind)
    document = replace(document, spec=spec)
    return document if following is None else following(document)


def named_by_spec(document: Document) -> Document:
    """The document with its name, which an endpoint's spec may say; the spec is not looked into else."""
    return document if document.key.name else complete(document)


def check_unchanged(old: IPPool, new: IPPool, title: str) -> None:
    """A pool's range and block size are for ever. Raises CommandError."""
    for field, before, after in (
        ("cidr", str(old.cidr), str(new.cidr)),
        ("blockSize", str(old.block_size), str(new.block_size)),
    ):
        if before != after:
            raise CommandError(
                f"{title}: spec.{field} is {before} and cannot become {after}; "
                "make another pool and disable this one"
            )


def check_room(pool: IPPool, others: Iterable[IPPool], blocks: Iterable[IPNetwork]) -> None:
    """A new pool overlaps no other, and no block of another size. Raises CommandError."""
    for other in sorted(others, key=lambda other: other.name):
        if other.name != pool.name and _overlap(pool.cidr, other.cidr):
            raise CommandError(
                f"IPPool({pool.name}): spec.cidr {pool.cidr} overlaps {other.cidr} of "
                f"IPPool({other.name}); choose another range"
            )
    for block in blocks:
        if _overlap(pool.cidr, block) and block.prefixlen != pool.block_size:
            raise CommandError(
                f"IPPool({pool.name}): spec.blockSize {pool.block_size}: the block {block} of an "
                f"earlier pool is still there; write {block.prefixlen} or free it first"
            )


def endpoint_name(spec: Mapping[str, object]) -> str:
    """The name an endpoint must have (`libcalico-go/lib/names/workloadendpoint.go`). Raises
    CommandError for a missing part or one with a dash at its end."""
    orchestrator = str(spec.get("orchestrator") or "")
    middle = {"k8s": ("pod",), "cni": ("containerID",)}.get(orchestrator, ("workload",))
    parts: list[str] = []
    for field in ("node", "orchestrator", *middle, "endpoint"):
        text = str(spec.get(field) or "")
        if orchestrator == "libnetwork" and field == "workload":
            text = "libnetwork"
        if not text or text.startswith("-") or text.endswith("-"):
            raise CommandError(
                f"WorkloadEndpoint: spec.{field} is {text!r}; the endpoint's name is made of it, so it "
                "must be there and neither begin nor end with '-'"
            )
        parts.append(text.replace("-", "--"))
    return "-".join(parts)


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)


def _pool_defaults(spec: Mapping[str, object]) -> dict[str, object]:
    return {
        "ipipMode": "Never",
        "vxlanMode": "Never",
        "blockSize": 26 if ip_network(str(spec["cidr"])).version == 4 else 122,
        "nodeSelector": "all()",
        "allowedUses": ["Workload", "Tunnel"],
        "assignmentMode": "Automatic",
    }


def _check_name(document: Document) -> None:
    kind, name = document.key.kind, document.key.name
    wrong = ""
    if kind is Kind.BGP_CONFIGURATION and name != "default" and not name.startswith("node."):
        wrong = "must be default or node.<node's name>"
    elif kind is Kind.KUBE_CONTROLLERS_CONFIGURATION and name != "default":
        wrong = "must be default"
    elif kind is Kind.PROFILE and name == ALLOW_ALL:
        wrong = "is the profile that Calico makes up; choose another"
    elif kind is Kind.TIER and (not DNS_LABEL.fullmatch(name) or len(name) > 63):
        wrong = "must be one DNS label, without dots"
    elif kind in policies.TIERED and not _policy_name(name):
        wrong = "must be a DNS label, or two with a dot between them"
    if wrong:
        raise CommandError(f"{document.title}: metadata.name {wrong}")


def _policy_name(name: str) -> bool:
    others = (policies.MIRRORED, "ossg.default.")
    return name.startswith(others) or _POLICY_NAME.fullmatch(name) is not None


def _endpoint(document: Document) -> Document:
    name = endpoint_name(document.spec)
    if document.key.name not in {"", name}:
        raise CommandError(
            f"{document.title}: metadata.name must be {name}, as the spec says; correct or omit it"
        )
    labels = {
        **document.labels,
        NAMESPACE_LABEL: document.key.namespace,
        ORCHESTRATOR_LABEL: str(document.spec["orchestrator"]),
    }
    key = ResourceKey(document.key.kind, name, document.key.namespace)
    return replace(document, key=key, labels=labels)


def _set(document: Document) -> Document:
    if NAMESPACE_LABEL in document.labels:
        raise CommandError(
            f"{document.title}: metadata.labels: {NAMESPACE_LABEL} is Calico's own; remove it"
        )
    return document


def _with_status(document: Document) -> Document:
    return replace(document, status=document.status or {})


_FOLLOWING: Mapping[Kind, Callable[[Document], Document]] = {
    Kind.WORKLOAD_ENDPOINT: _endpoint,
    Kind.NODE: _with_status,
    Kind.TIER: policies.complete_tier,
    **dict.fromkeys(_SETS, _set),
    **dict.fromkeys(sorted(policies.TIERED), policies.complete_policy),
}
