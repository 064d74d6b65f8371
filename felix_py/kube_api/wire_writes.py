"""What we write to the Kubernetes API, as JSON: node conditions, leases, events. Pure.

Reference: Kubernetes v1.34 `k8s.io/api/core/v1`, `coordination/v1`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from felix_py.kube_api.model import EventNote, Lease, NodeCondition, Resource
from felix_py.kube_api.port import cut

KINDS = {
    Resource.NODES: ("v1", "Node"),
    Resource.PODS: ("v1", "Pod"),
    Resource.NAMESPACES: ("v1", "Namespace"),
    Resource.SERVICE_ACCOUNTS: ("v1", "ServiceAccount"),
    Resource.NETWORK_POLICIES: ("networking.k8s.io/v1", "NetworkPolicy"),
}
EVENTS_OF_CLUSTER_OBJECTS = "default"
"""The namespace that holds the events of objects without one."""
MAX_NAME_CHARACTERS = 200


def condition_patch(condition: NodeCondition, now: str) -> bytes:
    """A strategic merge patch of a node's status: conditions merge by their type."""
    written = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.changed_at or now,
        "lastHeartbeatTime": now,
    }
    return msgspec.json.encode({"status": {"conditions": [written]}})


def lease_document(lease: Lease) -> bytes:
    """A whole lease; its version, where it has one, is the one to be replaced."""
    metadata = {"name": lease.name, "namespace": lease.namespace}
    if lease.version:
        metadata["resourceVersion"] = lease.version
    spec = {
        "holderIdentity": lease.holder,
        "leaseDurationSeconds": lease.duration_seconds,
        "acquireTime": lease.acquired_at,
        "renewTime": lease.renewed_at,
        "leaseTransitions": lease.transitions,
    }
    return msgspec.json.encode(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }
    )


def event_name(event: EventNote) -> str:
    """The same for the same news on the same object: said again, it is one event that is renewed."""
    said = "\0".join((str(event.about), event.uid, event.reason, event.message, event.component))
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return f"{event.about.name[:MAX_NAME_CHARACTERS].rstrip('.-')}.{digest}"


def event_namespace(event: EventNote) -> str:
    """Where the event lies."""
    return event.about.namespace or EVENTS_OF_CLUSTER_OBJECTS


def event_document(event: EventNote, now: str) -> bytes:
    """A core/v1 event."""
    version, kind = KINDS[event.about.resource]
    about = {
        "apiVersion": version,
        "kind": kind,
        "name": event.about.name,
        "namespace": event.about.namespace,
        "uid": event.uid,
    }
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event_name(event), "namespace": event_namespace(event)},
            "involvedObject": about,
            "reason": event.reason,
            "message": cut(event.message),
            "type": "Warning" if event.warning else "Normal",
            "source": {"component": event.component},
            "reportingComponent": event.component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
    )


def event_renewal(now: str) -> bytes:
    """A merge patch: the same was so again."""
    return msgspec.json.encode({"lastTimestamp": now})


def whole_time(at: datetime) -> str:
    """An instant as Kubernetes' Time: whole seconds."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
