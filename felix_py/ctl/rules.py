"""Pure: what Calico's client does to a resource before it is written.

Defaults are written into the object (Calico v3.32 applies its CRD's defaults in etcd mode), an
endpoint's name and two labels follow from its spec, and a pool's range never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_network

from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPNetwork, IPPool, Kind

NAMESPACE_LABEL = "projectcalico.org/namespace"
ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
OWN_ANNOTATIONS = "felix-py.io/"
"""What daemons keep in annotations; `apply` of a file that lacks them does not take them away."""

FELIX_DEFAULTS: Mapping[str, object] = {
    "floatingIPs": "Disabled",
    "bpfConnectTimeLoadBalancing": "TCP",
    "bpfHostNetworkedNATWithoutCTLB": "Enabled",
}
"""What Calico's client writes into every FelixConfiguration (`clientv3/felixconfig.go`)."""


def complete(document: Document) -> Document:
    """The document with Calico's defaults and what follows from the spec. Raises CommandError."""
    match document.key.kind:
        case Kind.IP_POOL:
            return replace(document, spec=_pool_defaults(document.spec))
        case Kind.BGP_CONFIGURATION:
            _check_configuration_name(document)
            defaults = {"logSeverityScreen": "Info", "serviceLoadBalancerAggregation": "Enabled"}
            return replace(document, spec=defaults | dict(document.spec))
        case Kind.FELIX_CONFIGURATION:
            return replace(document, spec={**FELIX_DEFAULTS, **document.spec})
        case Kind.WORKLOAD_ENDPOINT:
            return _endpoint(document)
        case Kind.NODE:
            return replace(document, status=document.status or {})
        case _:
            return document


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
    try:
        version = ip_network(str(spec.get("cidr")), strict=False).version
    except ValueError:
        version = 4  # the codec will refuse the range by name
    defaults: dict[str, object] = {
        "ipipMode": "Never",
        "vxlanMode": "Never",
        "blockSize": 26 if version == 4 else 122,
        "nodeSelector": "all()",
        "allowedUses": ["Workload", "Tunnel"],
        "assignmentMode": "Automatic",
    }
    given = {name: value for name, value in spec.items() if not _omitted(value)}
    return defaults | given


def _omitted(value: object) -> bool:
    """Calico leaves these out of the stored object, so that they take the default again."""
    return value is None or value in {"", 0} if isinstance(value, str | int | None) else False


def _check_configuration_name(document: Document) -> None:
    name = document.key.name
    if name != "default" and not name.startswith("node."):
        raise CommandError(f"{document.title}: metadata.name must be default or node.<node's name>")


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
