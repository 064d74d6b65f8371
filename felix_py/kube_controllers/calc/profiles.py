"""Pure: namespaces and service accounts as Calico's profiles.

Reference: Calico v3.32.1 `libcalico-go/lib/backend/k8s/conversion/conversion.go` (NamespaceToProfile,
ServiceAccountToProfile). A profile of this kind belongs to who mirrors the cluster: one without our mark, as
Calico's controllers leave them, is taken over while its namespace or account exists and left alone after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from felix_py.datastore.codec import rewrite
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind, Profile, Stored
from felix_py.kube_api.calico_names import account_profile, namespace_profile
from felix_py.kube_api.model import Meta
from felix_py.kube_controllers.snapshot import Snapshot
from felix_py.kube_controllers.wishes import Create, Remove, Replace, Wish

MARK = "felix-py.io/mirror-of"
"""The annotation of profiles that are ours: the uid of what they mirror."""
ALLOW = {"action": "Allow", "source": {}, "destination": {}}


@dataclass(frozen=True, slots=True)
class _Wanted:
    labels: Mapping[str, str]
    uid: str
    rules: Mapping[str, object]


def decide(name: str, snapshot: Snapshot) -> Wish | None:
    """What must happen to the profile of this name; None: nothing."""
    wanted, stored = _wanted(name, snapshot), snapshot.profiles.get(name)
    key = ResourceKey(Kind.PROFILE, name)
    if wanted is None:
        ours = stored is not None and MARK in stored.value.meta.annotations
        return Remove(key, stored.mod_revision) if stored is not None and ours else None
    if stored is None:
        spec = {**wanted.rules, "labelsToApply": dict(sorted(wanted.labels.items()))}
        return Create(key, spec, {MARK: wanted.uid})
    if _is_right(stored, wanted):
        return None
    gone = dict.fromkeys(set(stored.value.labels_to_apply) - set(wanted.labels))
    raw = rewrite(
        stored.raw,
        spec={"labelsToApply": {**gone, **wanted.labels}},
        annotations={MARK: wanted.uid},
    )
    return Replace(key, stored.mod_revision, raw)


def _is_right(stored: Stored[Profile], wanted: _Wanted) -> bool:
    marked = stored.value.meta.annotations.get(MARK) == wanted.uid
    return marked and dict(stored.value.labels_to_apply) == dict(wanted.labels)


def _wanted(name: str, snapshot: Snapshot) -> _Wanted | None:
    """What the object mirrors that would have this name; namespaces have no dots in theirs, accounts may."""
    namespace = snapshot.namespaces.get(name.removeprefix(namespace_profile("")))
    if namespace is not None and namespace_profile(namespace.meta.name) == name:
        rules = {"ingress": [ALLOW], "egress": [ALLOW]}
        return _Wanted(_prefixed("pcns.", namespace.meta), namespace.meta.uid, rules)
    _, _, rest = name.partition(".")
    in_namespace, _, account_name = rest.partition(".")
    account = snapshot.accounts.get((in_namespace, account_name))
    if account is not None and account_profile(in_namespace, account_name) == name:
        return _Wanted(_prefixed("pcsa.", account.meta), account.meta.uid, {})
    return None


def _prefixed(prefix: str, meta: Meta) -> dict[str, str]:
    labels = {f"{prefix}{name}": value for name, value in meta.labels.items()}
    return {**labels, f"{prefix}projectcalico.org/name": meta.name}
