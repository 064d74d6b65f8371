"""The shapes of the Kubernetes API's JSON, as far as we read them; wire.py makes values of them.

null and absent mean the same, as in Go. Reference: Kubernetes v1.34 `k8s.io/api`.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class MetaShape(msgspec.Struct, rename="camel"):
    """ObjectMeta."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    generate_name: str | None = None


class PortShape(msgspec.Struct, rename="camel"):
    """ContainerPort."""

    container_port: int
    protocol: str | None = None
    name: str | None = None
    host_port: int | None = None
    host_ip: str | None = msgspec.field(default=None, name="hostIP")


class ContainerShape(msgspec.Struct):
    """Container."""

    ports: list[PortShape] | None = None


class PodSpecShape(msgspec.Struct, rename="camel"):
    """PodSpec."""

    node_name: str | None = None
    service_account_name: str | None = None
    host_network: bool | None = None
    containers: list[ContainerShape] | None = None


class PodShape(msgspec.Struct):
    """Pod."""

    metadata: MetaShape
    spec: PodSpecShape


class ConditionShape(msgspec.Struct, rename="camel"):
    """NodeCondition."""

    type: str
    status: str
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class NodeStatusShape(msgspec.Struct):
    """NodeStatus."""

    conditions: list[ConditionShape] | None = None


class NodeShape(msgspec.Struct):
    """Node."""

    metadata: MetaShape
    status: NodeStatusShape = msgspec.field(default_factory=NodeStatusShape)


class NamespaceShape(msgspec.Struct):
    """Namespace."""

    metadata: MetaShape


class BareShape(msgspec.Struct):
    """Any object of which nothing but its metadata is read."""

    metadata: MetaShape


class LeaseSpecShape(msgspec.Struct, rename="camel"):
    """LeaseSpec; times are MicroTime."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class LeaseShape(msgspec.Struct):
    """Lease."""

    metadata: MetaShape
    spec: LeaseSpecShape = msgspec.field(default_factory=LeaseSpecShape)


class ListMetaShape(msgspec.Struct, rename="camel"):
    """ListMeta."""

    resource_version: str | None = None
    token: str | None = msgspec.field(default=None, name="continue")


class PageShape(msgspec.Struct, Generic[T]):
    """One page of a list."""

    metadata: ListMetaShape
    items: list[T] | None = None


class EventShape(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class CauseShape(msgspec.Struct):
    """StatusCause."""

    reason: str | None = None


class DetailsShape(msgspec.Struct):
    """StatusDetails."""

    causes: list[CauseShape] | None = None


class StatusShape(msgspec.Struct):
    """Status: what an error answer holds."""

    code: int | None = None
    message: str | None = None
    details: DetailsShape | None = None
