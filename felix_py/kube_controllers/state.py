"""Folds what reflectors and the syncer tell into a Snapshot, and says what may have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from felix_py.datastore.changes import NOT_YET, Change, StoreState, StoreStateKey
from felix_py.datastore.keys import (
    OWN_NODES,
    Key,
    ResourceKey,
    StatusKey,
    kind_prefix,
)
from felix_py.datastore.model import KUBERNETES, Kind, Node, Profile, Stored, WorkloadEndpoint
from felix_py.datastore.model_own import DaemonStatus
from felix_py.datastore.values import Value
from felix_py.kube_api.calico_names import account_profile, namespace_profile
from felix_py.kube_api.model import (
    KubeNode,
    Namespace,
    NetworkPolicyRef,
    Pod,
    Ref,
    Resource,
    ServiceAccount,
)
from felix_py.kube_api.reflector import KubeChange, ReflectorState
from felix_py.kube_controllers.snapshot import (
    Dirty,
    PodName,
    Snapshot,
    pod_of,
)

WATCHED = (
    kind_prefix(Kind.NODE),
    kind_prefix(Kind.PROFILE),
    kind_prefix(Kind.WORKLOAD_ENDPOINT),
    OWN_NODES,
)
"""What of etcd is watched."""

S = TypeVar("S")
T = TypeVar("T")


class State:
    """One thread's own."""

    def __init__(self) -> None:
        self.store = NOT_YET
        self.kube: dict[Resource, ReflectorState] = {}
        self.invalid: dict[str, str] = {}
        self._kube_nodes: dict[str, KubeNode] = {}
        self._pods: dict[PodName, Pod] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._accounts: dict[PodName, ServiceAccount] = {}
        self._policies: dict[Ref, NetworkPolicyRef] = {}
        self._nodes: dict[str, Stored[Node]] = {}
        self._profiles: dict[str, Stored[Profile]] = {}
        self._endpoints: dict[ResourceKey, Stored[WorkloadEndpoint]] = {}
        self._of_pod: dict[PodName, set[ResourceKey]] = {}
        self._statuses: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._deleted: set[Ref] = set()
        self._dirty = Dirty()

    @property
    def snapshot(self) -> Snapshot:
        """What is known now; valid until the next fold."""
        return Snapshot(
            self._kube_nodes,
            self._pods,
            self._namespaces,
            self._accounts,
            self._policies,
            self._nodes,
            self._profiles,
            self._endpoints,
            self._statuses,
            self._deleted,
        )

    @property
    def complete(self) -> bool:
        """Every kind of Kubernetes and all of etcd was read once, and the store is trusted."""
        listed = all(kind in self.kube and self.kube[kind].in_sync for kind in Resource)
        return listed and self.store.may_act

    def take_dirty(self) -> Dirty:
        """What may have changed since the last call."""
        taken, self._dirty = self._dirty, Dirty()
        return taken

    def again(self, dirty: Dirty) -> None:
        """Have these decided once more: a write failed."""
        self._dirty.add(dirty)

    def everything(self) -> None:
        """Have all decided again: another one led until now."""
        self._dirty.profiles |= {*self._profiles, *map(namespace_profile, self._namespaces)}
        self._dirty.profiles |= {account_profile(*name) for name in self._accounts}
        self._dirty.nodes |= {*self._nodes, *self._kube_nodes}
        self._dirty.endpoints |= set(self._endpoints)
        self._dirty.policies = True

    def fold_kube(self, changes: Mapping[Ref | Resource, KubeChange | ReflectorState]) -> None:
        """Take in what reflectors put."""
        for key, change in changes.items():
            if isinstance(change, ReflectorState):
                self.kube[change.resource] = change
            elif isinstance(key, Ref):
                self._fold_object(key, change)

    def fold_store(self, changes: Mapping[Key | StoreStateKey, Change | StoreState]) -> None:
        """Take in what the syncer put."""
        for key, change in changes.items():
            if isinstance(change, StoreState):
                self.store = change
            elif not isinstance(key, StoreStateKey):
                if change.invalid is None:
                    self.invalid.pop(key.path, None)
                else:
                    self.invalid[key.path] = change.invalid.reason
                self._fold_key(key, change.stored)

    def _fold_object(self, ref: Ref, change: KubeChange) -> None:
        value = change.value
        if value is None and change.seen:
            self._deleted.add(ref)
        else:
            self._deleted.discard(ref)
        match ref.resource:
            case Resource.NODES:
                _put(self._kube_nodes, ref.name, value if isinstance(value, KubeNode) else None)
                self._dirty.nodes.add(ref.name)
                if value is None and ref.name not in self._nodes:
                    self._deleted.discard(ref)
            case Resource.PODS:
                name = (ref.namespace, ref.name)
                _put(self._pods, name, value if isinstance(value, Pod) else None)
                self._dirty.endpoints |= self._of_pod.get(name, set())
                if value is None and name not in self._of_pod:
                    self._deleted.discard(ref)
            case Resource.NAMESPACES:
                _put(self._namespaces, ref.name, value if isinstance(value, Namespace) else None)
                self._dirty.profiles.add(namespace_profile(ref.name))
                self._deleted.discard(ref)
            case Resource.SERVICE_ACCOUNTS:
                account = value if isinstance(value, ServiceAccount) else None
                _put(self._accounts, (ref.namespace, ref.name), account)
                self._dirty.profiles.add(account_profile(ref.namespace, ref.name))
                self._deleted.discard(ref)
            case Resource.NETWORK_POLICIES:
                policy = value if isinstance(value, NetworkPolicyRef) else None
                _put(self._policies, ref, policy)
                self._dirty.policies = True
                self._deleted.discard(ref)

    def _fold_key(self, key: Key, stored: Stored[Value] | None) -> None:
        match key:
            case ResourceKey(kind=Kind.NODE, name=name):
                _put(self._nodes, name, _as(stored, Node))
                self._dirty.nodes.add(name)
                if stored is None and name not in self._kube_nodes:
                    self._deleted.discard(Ref(Resource.NODES, name))
            case ResourceKey(kind=Kind.PROFILE, name=name):
                _put(self._profiles, name, _as(stored, Profile))
                self._dirty.profiles.add(name)
            case ResourceKey(kind=Kind.WORKLOAD_ENDPOINT):
                self._fold_endpoint(key, _as(stored, WorkloadEndpoint))
            case StatusKey(node=node, daemon=daemon):
                said = stored.value if stored is not None else None
                document = said.document if isinstance(said, DaemonStatus) else None
                _put(self._statuses, (str(node), daemon), document)
                self._dirty.nodes.add(node)
            case _:
                pass

    def _fold_endpoint(self, key: ResourceKey, stored: Stored[WorkloadEndpoint] | None) -> None:
        old = self._endpoints.pop(key, None)
        if old is not None:
            keys = self._of_pod.get(pod_of(key, old.value), set())
            keys.discard(key)
            if not keys:
                self._of_pod.pop(pod_of(key, old.value), None)
                self._deleted.discard(Ref(Resource.PODS, old.value.pod, key.namespace))
        if stored is not None and stored.value.orchestrator == KUBERNETES:
            self._endpoints[key] = stored
            self._of_pod.setdefault(pod_of(key, stored.value), set()).add(key)
        self._dirty.endpoints.add(key)


def _as(stored: Stored[Value] | None, kind: type[T]) -> Stored[T] | None:
    if stored is None or not isinstance(stored.value, kind):
        return None
    return Stored(stored.value, stored.raw, stored.create_revision, stored.mod_revision)


def _put(values: dict[S, T], key: S, value: T | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
