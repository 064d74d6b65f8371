"""Pure: how Calico v3.32 names policies and tiers in etcd, and what older versions left there.

3.32 stores a policy under exactly the name given and repeats it in an annotation that users do not see;
up to 3.31 the key's name began with the tier's. Both are read; an old key is rewritten where it stands.
Reference: `libcalico-go/lib/names/policy.go`, `lib/clientv3/networkpolicy.go`, `api/.../tier.go`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from felix_py.ctl.documents import Document
from felix_py.ctl.errors import CommandError
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind

TIERED = frozenset(
    {
        Kind.NETWORK_POLICY,
        Kind.GLOBAL_NETWORK_POLICY,
        Kind.STAGED_NETWORK_POLICY,
        Kind.STAGED_GLOBAL_NETWORK_POLICY,
    }
)
"""Kinds that belong to a tier."""
NAME_ANNOTATION = "projectcalico.org/metadata"
TIER_LABEL = "projectcalico.org/tier"
DEFAULT_TIER = "default"
MIRRORED = "knp.default."
"""Kubernetes' own policies, as Calico's controllers mirror them: nobody else's to write."""
BUILT_IN: Mapping[str, Mapping[str, object]] = {
    DEFAULT_TIER: {"order": 1000000, "defaultAction": "Deny"},
    "kube-admin": {"order": 1000, "defaultAction": "Pass"},
    "kube-baseline": {"order": 10000000, "defaultAction": "Pass"},
}
"""Calico v3.32's tiers: never deleted, order and action are fixed."""


def complete_policy(document: Document) -> Document:
    """The annotation, the label and the types that Calico writes. Raises CommandError."""
    refuse_mirrored(document.key, document.title)
    spec = {"tier": DEFAULT_TIER, **document.spec}
    if "types" not in spec and spec.get("stagedAction") != "Delete":
        spec["types"] = _types(spec)
    name = json.dumps({"name": document.key.name}, separators=(",", ":"))
    return replace(
        document,
        spec=document.info.shape.arranged(spec),
        labels={**document.labels, TIER_LABEL: spec["tier"]},
        annotations={**document.annotations, NAME_ANNOTATION: name},
    )


def complete_tier(document: Document) -> Document:
    """Order and action, which the built-in tiers may not change. Raises CommandError."""
    fixed = BUILT_IN.get(document.key.name)
    spec = {**(fixed or {"order": 1000000, "defaultAction": "Deny"}), **document.spec}
    for name, value in (fixed or {}).items():
        if spec[name] != value:
            raise CommandError(
                f"{document.title}: spec.{name} of a built-in tier is {value} for ever; make a tier "
                "of your own"
            )
    return replace(document, spec=document.info.shape.arranged(spec))


def refuse_mirrored(key: ResourceKey, title: str) -> None:
    """Raises CommandError for what mirrors a policy of Kubernetes."""
    if key.kind in TIERED and key.name.startswith(MIRRORED):
        raise CommandError(f"{title} mirrors a NetworkPolicy of Kubernetes; change it there")


def old_key(document: Document) -> ResourceKey | None:
    """Where Calico up to 3.31 would have put a policy of this name; None where it is the same."""
    if document.key.kind not in TIERED:
        return None
    tier = str(document.spec.get("tier") or DEFAULT_TIER)
    if document.key.name.startswith(f"{tier}."):
        return None
    return replace(document.key, name=f"{tier}.{document.key.name}")


def shown_name(key: ResourceKey, loaded: Mapping[str, Any]) -> str:
    """What users call a stored policy; of other kinds, the key's name."""
    if key.kind not in TIERED:
        return key.name
    metadata = loaded.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    text = annotations.get(NAME_ANNOTATION) if isinstance(annotations, dict) else None
    try:
        named = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        named = None
    if isinstance(named, dict) and isinstance(named.get("name"), str) and named["name"]:
        return str(named["name"])
    spec = loaded.get("spec")
    tier = spec.get("tier") if isinstance(spec, dict) else None
    if not tier or tier == DEFAULT_TIER:
        return key.name.removeprefix(f"{DEFAULT_TIER}.")
    return key.name


def shown(key: ResourceKey, loaded: dict[str, Any]) -> dict[str, Any]:
    """A stored policy as users see it: by its name, without the annotation that holds it."""
    metadata = loaded.get("metadata")
    if key.kind not in TIERED or not isinstance(metadata, dict):
        return loaded
    metadata = {**metadata, "name": shown_name(key, loaded)}
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and NAME_ANNOTATION in annotations:
        metadata["annotations"] = {
            name: text for name, text in annotations.items() if name != NAME_ANNOTATION
        }
        if not metadata["annotations"]:
            del metadata["annotations"]
    return {**loaded, "metadata": metadata}


def _types(spec: Mapping[str, Any]) -> list[str]:
    if not spec.get("egress"):
        return ["Ingress"]
    return ["Ingress", "Egress"] if spec.get("ingress") else ["Egress"]
