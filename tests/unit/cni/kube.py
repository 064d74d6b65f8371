"""Pods and namespaces as Kubernetes knows them, for tests."""

from __future__ import annotations

from felix_py.kube_api.model import ContainerPort, Meta, Namespace, Pod

UID = "u"
"""The uid in requests.K8S_ARGS."""


def pod(
    name: str = "nginx-1",
    uid: str = UID,
    annotations: dict[str, str] | None = None,
    node: str = "worker-1",
) -> Pod:
    """A pod of the namespace default."""
    return Pod(
        Meta(
            name,
            "default",
            uid,
            labels={"app": "web"},
            annotations=annotations or {},
            generate_name="nginx-",
        ),
        node=node,
        service_account="builder",
        ports=(
            ContainerPort(80, name="http"),
            ContainerPort(53, "UDP", host_port=5353, host_ip="192.0.2.1"),
            ContainerPort(9000),
            ContainerPort(9001, "ICMP", name="odd"),
        ),
    )


def namespace(name: str = "default", annotations: dict[str, str] | None = None) -> Namespace:
    """A namespace with a label of its own."""
    labels = {"team": "a", "kubernetes.io/metadata.name": name}
    return Namespace(Meta(name, uid="n", labels=labels, annotations=annotations or {}))
