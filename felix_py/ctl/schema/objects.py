"""What every object has beside its spec: metadata as Kubernetes means it, and status.

Reference: Kubernetes `apimachinery/pkg/apis/meta/v1` ObjectMeta; Calico v3.32.1 `api/pkg/apis`.
What Go cannot read here makes the whole object vanish from Calico's lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from felix_py.ctl.schema.scalars import label
from felix_py.ctl.schema.shape import Anything, Fields, Flag, Many, Number, Shape, Text, Words
from felix_py.datastore.codec_fields import BadField
from felix_py.datastore.model import Kind


@dataclass(frozen=True, slots=True)
class Time(Shape):
    """RFC 3339, written back in UTC and whole seconds."""

    def read(self, path: str, value: object) -> object:
        """The text in Kubernetes' form."""
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise BadField(path, f"{value!r} is not a time; write it as 2026-01-31T12:00:00Z")
        return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_OWNER = Fields(
    {
        "apiVersion": Text(),
        "kind": Text(),
        "name": Text(),
        "uid": Text(),
        "controller": Flag(),
        "blockOwnerDeletion": Flag(),
    },
    required=("apiVersion", "kind", "name", "uid"),
)
METADATA = Fields(
    {
        "name": Text(),
        "generateName": Text(),
        "namespace": Text(),
        "selfLink": Text(),
        "uid": Text(),
        "resourceVersion": Anything(),
        "generation": Number(0),
        "creationTimestamp": Time(),
        "deletionTimestamp": Time(),
        "deletionGracePeriodSeconds": Number(0),
        "labels": Words(label),
        "annotations": Words(),
        "ownerReferences": Many(_OWNER),
        "finalizers": Many(Text()),
        "managedFields": Anything(),
    }
)
STATUS: Mapping[Kind, Fields] = {
    Kind.NODE: Fields(
        {
            "wireguardPublicKey": Text(),
            "wireguardPublicKeyV6": Text(),
            "podCIDRs": Many(Text()),
        }
    ),
    Kind.TIER: Fields({"conditions": Many(Fields({}))}),
    Kind.IP_POOL: Fields({"conditions": Many(Fields({}))}),
    Kind.KUBE_CONTROLLERS_CONFIGURATION: Fields(
        {"runningConfig": Fields({}), "environmentVars": Words()}
    ),
}
"""The status of kinds that have one; others' is a mapping that nobody looks into."""
