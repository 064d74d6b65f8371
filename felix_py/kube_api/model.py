"""Frozen values of what the Kubernetes API knows: the fields that we use, and no others.

Reference: Kubernetes v1.34 `k8s.io/api/core/v1`, `networking/v1`, `coordination/v1`. Empty text means
that the field is absent. `version` is the resource version: opaque, only good to watch from or to
compare for equality. Times are RFC 3339 text as the API gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Resource(StrEnum):
    """The kinds we list and watch."""

    NODES = "nodes"
    PODS = "pods"
    NAMESPACES = "namespaces"
    SERVICE_ACCOUNTS = "serviceaccounts"
    NETWORK_POLICIES = "networkpolicies"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object; namespace is empty for nodes and namespaces."""

    resource: Resource
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        """As kubectl's users write it."""
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.resource.value} {path}"


@dataclass(frozen=True, slots=True)
class Meta:
    """What every object carries."""

    name: str
    namespace: str = ""
    uid: str = ""
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    generate_name: str = ""


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """One of a node's conditions. status is True, False or Unknown."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    changed_at: str = ""


@dataclass(frozen=True, slots=True)
class KubeNode:
    """A node."""

    meta: Meta
    conditions: tuple[NodeCondition, ...] = ()

    def condition(self, kind: str) -> NodeCondition | None:
        """The condition of this type, if the node has it."""
        return next((each for each in self.conditions if each.type == kind), None)


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a container names. protocol is TCP, UDP or SCTP."""

    port: int
    protocol: str = "TCP"
    name: str = ""
    host_port: int = 0
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. node is empty while it is not scheduled."""

    meta: Meta
    node: str = ""
    service_account: str = "default"
    host_network: bool = False
    ports: tuple[ContainerPort, ...] = ()


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace."""

    meta: Meta


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account."""

    meta: Meta


@dataclass(frozen=True, slots=True)
class NetworkPolicyRef:
    """That a NetworkPolicy exists; what it says is not read."""

    meta: Meta


KubeObject = KubeNode | Pod | Namespace | ServiceAccount | NetworkPolicyRef


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease for electing a leader; version is empty for one that is not stored yet.

    acquired_at, renewed_at: RFC 3339 with microseconds, by the holder's clock.
    """

    name: str
    namespace: str
    holder: str
    duration_seconds: int
    acquired_at: str
    renewed_at: str
    transitions: int = 0
    version: str = ""


@dataclass(frozen=True, slots=True)
class EventNote:
    """Something to tell people on an object (`kubectl describe`). `about` is the object."""

    about: Ref
    uid: str
    reason: str
    """One CamelCase word."""
    message: str
    component: str
    """Who says it: felix-py-cni, felix-py-controllers."""
    warning: bool = True


def ref_of(value: KubeObject) -> Ref:
    """The reference of an object."""
    return Ref(_RESOURCES[type(value)], value.meta.name, value.meta.namespace)


_RESOURCES: Mapping[type, Resource] = {
    KubeNode: Resource.NODES,
    Pod: Resource.PODS,
    Namespace: Resource.NAMESPACES,
    ServiceAccount: Resource.SERVICE_ACCOUNTS,
    NetworkPolicyRef: Resource.NETWORK_POLICIES,
}
