"""JSON of the Kubernetes API to frozen values and back: only the fields that we use are ever built.

A node's or pod's document is 4 to 12 KB, of which we keep some hundred bytes. null and absent mean the
same, as in Go. Reference: Kubernetes v1.34 `k8s.io/api`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from felix_py.kube_api.model import (
    ContainerPort,
    KubeNode,
    KubeObject,
    Lease,
    Meta,
    Namespace,
    NetworkPolicyRef,
    NodeCondition,
    Pod,
    Resource,
    ServiceAccount,
    ref_of,
)
from felix_py.kube_api.port import Changed, Gone, WatchBatch
from felix_py.kube_api.wire_shapes import (
    BareShape,
    EventShape,
    LeaseShape,
    MetaShape,
    NamespaceShape,
    NodeShape,
    PageShape,
    PodShape,
    StatusShape,
)

T = TypeVar("T")


class BadAnswer(ValueError):
    """The API server's text is not what its version promises."""


class WatchFailed(Exception):
    """The watch's own error object: its HTTP code and text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _meta(wire: MetaShape) -> Meta:
    return Meta(
        name=wire.name or "",
        namespace=wire.namespace or "",
        uid=wire.uid or "",
        version=wire.resource_version or "",
        labels=wire.labels or {},
        annotations=wire.annotations or {},
        generate_name=wire.generate_name or "",
    )


def _pod(wire: PodShape) -> Pod:
    ports = tuple(
        ContainerPort(
            each.container_port,
            each.protocol or "TCP",
            each.name or "",
            each.host_port or 0,
            each.host_ip or "",
        )
        for container in wire.spec.containers or ()
        for each in container.ports or ()
    )
    return Pod(
        meta=_meta(wire.metadata),
        node=wire.spec.node_name or "",
        service_account=wire.spec.service_account_name or "default",
        host_network=bool(wire.spec.host_network),
        ports=ports,
    )


def _node(wire: NodeShape) -> KubeNode:
    conditions = tuple(
        NodeCondition(
            each.type,
            each.status,
            each.reason or "",
            each.message or "",
            each.last_transition_time or "",
        )
        for each in wire.status.conditions or ()
    )
    return KubeNode(_meta(wire.metadata), conditions)


def _namespace(wire: NamespaceShape) -> Namespace:
    return Namespace(_meta(wire.metadata))


class _Kind(Generic[T]):
    """How one kind's documents and pages are read."""

    def __init__(self, wire: type[T], made: Callable[[T], KubeObject]) -> None:
        self.one = msgspec.json.Decoder(wire)
        self.page = msgspec.json.Decoder(PageShape[wire])  # type: ignore[valid-type]
        self.made = made


_KINDS: Mapping[Resource, _Kind[Any]] = {
    Resource.NODES: _Kind(NodeShape, _node),
    Resource.PODS: _Kind(PodShape, _pod),
    Resource.NAMESPACES: _Kind(NamespaceShape, _namespace),
    Resource.SERVICE_ACCOUNTS: _Kind(BareShape, lambda wire: ServiceAccount(_meta(wire.metadata))),
    Resource.NETWORK_POLICIES: _Kind(
        BareShape, lambda wire: NetworkPolicyRef(_meta(wire.metadata))
    ),
}
_LEASE = msgspec.json.Decoder(LeaseShape)
_EVENT = msgspec.json.Decoder(EventShape)
_BARE = msgspec.json.Decoder(BareShape)
_STATUS = msgspec.json.Decoder(StatusShape)
TERMINATING = "NamespaceTerminating"
"""The cause that a refused write carries when its namespace is being deleted."""


def decode(resource: Resource, raw: bytes | msgspec.Raw) -> KubeObject:
    """One object. Raises BadAnswer."""
    kind = _KINDS[resource]
    try:
        return kind.made(kind.one.decode(raw))
    except msgspec.MsgspecError as error:
        raise BadAnswer(f"{resource.value}: {error}") from error


def decode_page(resource: Resource, raw: bytes) -> tuple[list[KubeObject], str, str]:
    """One page of a list: objects, its resource version, the token of the next page. Raises BadAnswer."""
    kind = _KINDS[resource]
    try:
        page = kind.page.decode(raw)
    except msgspec.MsgspecError as error:
        raise BadAnswer(f"list of {resource.value}: {error}") from error
    items = [kind.made(item) for item in page.items or ()]
    return items, page.metadata.resource_version or "", page.metadata.token or ""


def decode_watch_line(resource: Resource, line: bytes) -> WatchBatch:
    """One line of a watch. Raises WatchFailed for the watch's own error, BadAnswer."""
    try:
        event = _EVENT.decode(line)
        if event.type == "BOOKMARK":
            return WatchBatch((), _BARE.decode(event.object).metadata.resource_version or "")
        if event.type == "ERROR":
            status = _STATUS.decode(event.object)
            raise WatchFailed(status.code or 500, status.message or "the watch failed")
    except msgspec.MsgspecError as error:
        raise BadAnswer(f"watch of {resource.value}: {error}") from error
    value = decode(resource, event.object)
    version = value.meta.version
    if event.type != "DELETED":
        return WatchBatch((Changed(value),), version)
    return WatchBatch((Gone(ref_of(value), value),), version)


def decode_lease(raw: bytes) -> Lease:
    """A lease. Raises BadAnswer."""
    try:
        wire = _LEASE.decode(raw)
    except msgspec.MsgspecError as error:
        raise BadAnswer(f"lease: {error}") from error
    return Lease(
        name=wire.metadata.name or "",
        namespace=wire.metadata.namespace or "",
        holder=wire.spec.holder_identity or "",
        duration_seconds=wire.spec.lease_duration_seconds or 0,
        acquired_at=wire.spec.acquire_time or "",
        renewed_at=wire.spec.renew_time or "",
        transitions=wire.spec.lease_transitions or 0,
        version=wire.metadata.resource_version or "",
    )


def decode_status(raw: bytes) -> tuple[str, frozenset[str]]:
    """An error answer's message and causes; what is no Status is its own message."""
    try:
        status = _STATUS.decode(raw)
    except msgspec.MsgspecError:
        return raw[:200].decode("utf-8", "replace").strip(), frozenset()
    causes = (status.details.causes if status.details else None) or ()
    return status.message or "", frozenset(each.reason or "" for each in causes)
