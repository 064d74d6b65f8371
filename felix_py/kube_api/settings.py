"""The `kubernetes` section: whether there is an API server, where it is, and who we are to it."""

from __future__ import annotations

import msgspec


class KubernetesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """In a pod nothing but `enabled` is needed: the service account's token and CA are used."""

    enabled: bool = False
    """Whether there is a Kubernetes API server that this daemon should talk to."""
    api_server: str = ""
    """URL of the API server (https://host:port); empty: the kubeconfig's, or the pod's environment."""
    kubeconfig: str = ""
    """A kubeconfig file; empty: the service account of the pod."""
    timeout_seconds: float = 10.0
    """The bound of every single call; a watch may be silent for longer."""
