"""What the controllers know at one moment, of Kubernetes and of etcd, and what has to be decided again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Node, Profile, Stored, WorkloadEndpoint
from felix_py.kube_api.model import (
    KubeNode,
    Namespace,
    NetworkPolicyRef,
    Pod,
    Ref,
    ServiceAccount,
)

PodName = tuple[str, str]
"""(namespace, name)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Views of State's own mappings: valid until the next fold."""

    kube_nodes: Mapping[str, KubeNode]
    pods: Mapping[PodName, Pod]
    namespaces: Mapping[str, Namespace]
    accounts: Mapping[PodName, ServiceAccount]
    policies: Mapping[Ref, NetworkPolicyRef]
    nodes: Mapping[str, Stored[Node]]
    profiles: Mapping[str, Stored[Profile]]
    endpoints: Mapping[ResourceKey, Stored[WorkloadEndpoint]]
    """Of Kubernetes' pods alone."""
    statuses: Mapping[tuple[str, str], Mapping[str, Any]]
    """(node, daemon) -> what it last said."""
    deleted: frozenset[Ref] | set[Ref]
    """What a watch saw being deleted: not just missing in a list."""


@dataclass(slots=True)
class Dirty:
    """Names whose decision may differ from the last one."""

    profiles: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    endpoints: set[ResourceKey] = field(default_factory=set)
    policies: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return bool(self.profiles or self.nodes or self.endpoints or self.policies)

    def add(self, other: Dirty) -> None:
        """The other's names, too."""
        self.profiles |= other.profiles
        self.nodes |= other.nodes
        self.endpoints |= other.endpoints
        self.policies |= other.policies


def pod_of(key: ResourceKey, endpoint: WorkloadEndpoint) -> PodName:
    """The pod that an endpoint stands for."""
    return key.namespace, endpoint.pod
