"""What tests ask a cluster's API for: small pods, by themselves and by workloads."""

from __future__ import annotations

from typing import Any

from felix_py.lab.kubernetes.images import BUSYBOX_IMAGE

NAME = "stay"
"""Workloads' name, and their pods' label app."""


def about(kind: str, version: str = "v1") -> dict[str, Any]:
    """The head of a document."""
    return {"apiVersion": version, "kind": kind}


def workload(kind: str, namespace: str, **spec: object) -> dict[str, Any]:
    """A DaemonSet or Deployment of small pods."""
    labels = {"app": NAME}
    return {
        **about(kind, "apps/v1"),
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            **spec,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": small()},
        },
    }


def small(**more: object) -> dict[str, Any]:
    """A pod that does nothing."""
    command = ["sh", "-c", "exec sleep 100000"]
    container = {"name": "c", "image": BUSYBOX_IMAGE, "imagePullPolicy": "Never"}
    return {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [{**container, "command": command}],
        **more,
    }
