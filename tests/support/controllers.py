"""The controllers of a cluster under test: their environment, their settings in a hurry."""

from __future__ import annotations

from felix_py.lab.kubernetes import applied
from tests.support.cluster import Cluster

CONTROLLERS = (*applied.NAMESPACE, "deployment/felix-py-controllers")
SECONDS = 300.0
GRACE_SECONDS, QUARANTINE_SECONDS = 15, 45
HASTE = {
    "FELIX_PY_CONTROLLERS_NODE_GRACE_SECONDS": f"{GRACE_SECONDS}",
    "FELIX_PY_CONTROLLERS_QUARANTINE_SECONDS": f"{QUARANTINE_SECONDS}",
}


def configure(cluster: Cluster, *changes: str) -> None:
    """Change their environment (NAME=VALUE, NAME-), and wait until all of them have it."""
    cluster.kubectl.run("set", "env", *CONTROLLERS, *changes)
    rollout = ("rollout", "status", *CONTROLLERS, f"--timeout={SECONDS:.0f}s")
    cluster.kubectl.run(*rollout, timeout_seconds=SECONDS + 10)


def hurry(cluster: Cluster) -> None:
    """Graces of seconds."""
    configure(cluster, *(f"{name}={value}" for name, value in HASTE.items()))


def calm(cluster: Cluster) -> None:
    """Graces as they were."""
    configure(cluster, *(f"{name}-" for name in HASTE))
