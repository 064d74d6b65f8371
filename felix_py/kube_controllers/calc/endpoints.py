"""Pure: an endpoint's labels follow its pod's."""

from __future__ import annotations

from felix_py.datastore.codec import rewrite
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import KUBERNETES
from felix_py.kube_api.calico_names import PREFIX, labels_of
from felix_py.kube_controllers.snapshot import Snapshot, pod_of
from felix_py.kube_controllers.wishes import Replace


def labels(key: ResourceKey, snapshot: Snapshot) -> Replace | None:
    """The endpoint with its pod's labels; None: it has them, or it is none of this pod's any more."""
    stored = snapshot.endpoints.get(key)
    pod = None if stored is None else snapshot.pods.get(pod_of(key, stored.value))
    if stored is None or pod is None or pod.node != stored.value.node:
        return None
    wanted = {
        **labels_of(pod),
        PREFIX + "namespace": pod.meta.namespace,
        PREFIX + "orchestrator": KUBERNETES,
    }
    now = dict(stored.value.meta.labels)
    if wanted == now:
        return None
    gone = dict.fromkeys(set(now) - set(wanted))
    return Replace(key, stored.mod_revision, rewrite(stored.raw, labels={**gone, **wanted}))
