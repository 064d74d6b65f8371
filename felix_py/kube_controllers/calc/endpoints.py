"""Pure: an endpoint's labels follow its pod's.

Reference: Calico v3.32.1 `libcalico-go/lib/backend/k8s/conversion/workload_endpoint_default.go`.
"""

from __future__ import annotations

from felix_py.datastore.codec import rewrite
from felix_py.datastore.keys import ResourceKey
from felix_py.kube_api.model import Pod
from felix_py.kube_controllers.snapshot import KUBERNETES, Snapshot, pod_of
from felix_py.kube_controllers.wishes import Replace

PREFIX = "projectcalico.org/"
MAX_LABEL_VALUE = 63
"""A service account with a longer name has no label; Kubernetes takes names of up to 253."""


def labels(key: ResourceKey, snapshot: Snapshot) -> Replace | None:
    """The endpoint with its pod's labels; None: it has them, or it is none of this pod's any more."""
    stored = snapshot.endpoints.get(key)
    pod = None if stored is None else snapshot.pods.get(pod_of(key, stored.value))
    if stored is None or pod is None or pod.node != stored.value.node:
        return None
    wanted, now = wanted_labels(pod), dict(stored.value.meta.labels)
    if wanted == now:
        return None
    gone = dict.fromkeys(set(now) - set(wanted))
    return Replace(key, stored.mod_revision, rewrite(stored.raw, labels={**gone, **wanted}))


def wanted_labels(pod: Pod) -> dict[str, str]:
    """A pod's labels and the three that Calico adds."""
    account = pod.service_account
    named = {PREFIX + "serviceaccount": account} if 0 < len(account) < MAX_LABEL_VALUE else {}
    return {
        **pod.meta.labels,
        **named,
        PREFIX + "namespace": pod.meta.namespace,
        PREFIX + "orchestrator": KUBERNETES,
    }
