"""Pure: what the controllers say of themselves, as a JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from felix_py.datastore.status_document import MAX_NAMED, Identity, head, invalid_objects
from felix_py.kube_api.model import Resource
from felix_py.kube_api.reflector import ReflectorState
from felix_py.kube_controllers.releases import Releases
from felix_py.kube_controllers.snapshot import Snapshot
from felix_py.kube_controllers.state import State

DAEMON = "kube-controllers"


def document(
    identity: Identity, state: State, releases: Releases, leader: str
) -> dict[str, object]:
    """The whole status. missing: what Kubernetes does not have and etcd still has."""
    snapshot = state.snapshot
    return {
        **head(identity, state.store),
        "leader": leader,
        "kubernetes": {kind.value: _reflected(state.kube, kind) for kind in Resource},
        "networkPolicies": policies(snapshot)[:MAX_NAMED],
        "missing": {
            "nodes": sorted(releases.nodes)[:MAX_NAMED],
            "endpoints": sorted(key.path for key in releases.endpoints)[:MAX_NAMED],
        },
        "invalid": invalid_objects(state.invalid),
        "warnings": list(releases.alarms),
    }


def policies(snapshot: Snapshot) -> list[str]:
    """The names of NetworkPolicies, none of which is enforced."""
    return sorted(f"{ref.namespace}/{ref.name}" for ref in snapshot.policies)


def trouble(kube: Mapping[Resource, ReflectorState], others: Iterable[str]) -> str | None:
    """What readiness should say about Kubernetes; None: nothing."""
    for kind in Resource:
        known = kube.get(kind)
        if known is None or not known.in_sync:
            return f"{kind.value} were not read yet{_because(known)}"
        if not known.connected:
            return f"{kind.value} are not followed{_because(known)}"
    return next((text for text in others if text), None)


def _because(known: ReflectorState | None) -> str:
    return f": {known.why}" if known is not None and known.why else ""


def _reflected(kube: Mapping[Resource, ReflectorState], kind: Resource) -> dict[str, object]:
    known = kube.get(kind)
    if known is None:
        return {"inSync": False, "connected": False, "why": ""}
    return {"inSync": known.in_sync, "connected": known.connected, "why": known.why}
