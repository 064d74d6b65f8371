"""Pure: what Calico calls a namespace, a service account and a pod's labels in its own data.

Who attaches a pod and who mirrors the cluster must agree on it. Reference: Calico v3.32.1
`libcalico-go/lib/backend/k8s/conversion/{conversion,workload_endpoint_default}.go`.
"""

from __future__ import annotations

from felix_py.kube_api.model import Pod

PREFIX = "projectcalico.org/"
MAX_LABEL_VALUE = 63
"""A service account with a longer name has no label; Kubernetes takes names of up to 253."""


def namespace_profile(name: str) -> str:
    """The profile of a namespace."""
    return f"kns.{name}"


def account_profile(namespace: str, name: str) -> str:
    """The profile of a service account."""
    return f"ksa.{namespace}.{name}"


def labels_of(pod: Pod) -> dict[str, str]:
    """A pod's labels with its service account's; those that follow from its endpoint's key are left out."""
    account = pod.service_account
    named = {PREFIX + "serviceaccount": account} if 0 < len(account) < MAX_LABEL_VALUE else {}
    return {**pod.meta.labels, **named}
