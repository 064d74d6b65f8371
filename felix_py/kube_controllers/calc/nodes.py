"""Pure: a Kubernetes node's labels in our Node object, as Calico's controllers keep them.

Reference: Calico v3.32.1 `kube-controllers/pkg/controllers/node/labels.go`: the annotation holds what was
mirrored last, so labels that an operator gave our Node stay, and those that left the node go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from felix_py.datastore.codec import rewrite
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind, Node, Stored
from felix_py.kube_controllers.snapshot import Snapshot
from felix_py.kube_controllers.wishes import Replace

MIRRORED = "projectcalico.org/kube-labels"
"""The annotation."""


def mirrored(stored: Stored[Node]) -> bool:
    """Whether its Kubernetes node was listed once since it was made."""
    return MIRRORED in stored.value.meta.annotations


def of_kubernetes(stored: Stored[Node]) -> bool:
    """Whether it stands, or stood, for the node of Kubernetes that has its name.

    An agent that outlives its node's deletion makes the Node anew: then only its orchRefs say so.
    """
    return mirrored(stored) or stored.value.kubernetes_node == stored.value.meta.name


def labels(name: str, snapshot: Snapshot) -> Replace | None:
    """The Node with the labels that its Kubernetes node has now; None: it has them."""
    kube, stored = snapshot.kube_nodes.get(name), snapshot.nodes.get(name)
    if kube is None or stored is None:
        return None
    meta = stored.value.meta
    now = dict(kube.meta.labels)
    text = json.dumps(now, sort_keys=True, separators=(",", ":"))
    gone = dict.fromkeys(_before(meta.annotations) - set(now))
    right = all(meta.labels.get(label) == value for label, value in now.items())
    if right and meta.annotations.get(MIRRORED) == text and not set(gone) & set(meta.labels):
        return None
    raw = rewrite(stored.raw, labels={**gone, **now}, annotations={MIRRORED: text})
    return Replace(ResourceKey(Kind.NODE, name), stored.mod_revision, raw)


def _before(annotations: Mapping[str, str]) -> set[str]:
    """The labels mirrored last; what cannot be read says nothing."""
    try:
        found = json.loads(annotations.get(MIRRORED, "{}"))
    except ValueError:
        return set()
    return set(found) if isinstance(found, dict) else set()
