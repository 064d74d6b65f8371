"""Our manifest on a cluster, as an administrator handles it: applied, asked, changed, taken away."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from felix_py.lab.kubernetes import applied, binaries, proof
from felix_py.lab.kubernetes.kubectl import ready
from tests.support.cluster import Cluster

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
FELIX = applied.NAMESPACE
CLEANUP = ("-n", "felix-py-cleanup")
SECONDS = 180.0
NODES = ("node-1", "node-2", "node-3")


def felixctl(
    cluster: Cluster, *arguments: str, stdin: str = "", container: str = "felixctl"
) -> str:
    """The command inside an agent's pod."""
    where = ("exec", "-i", *FELIX, "daemonset/felix-py-node", "-c", container, "--")
    return cluster.kubectl.run(*where, "felixctl", *arguments, stdin=stdin)


def etcdctl(cluster: Cluster, *arguments: str) -> str:
    """etcd's own command inside its pod."""
    where = ("exec", *FELIX, "daemonset/felix-py-etcd", "-c", "etcd", "--")
    return cluster.kubectl.run(*where, "etcdctl", *arguments)


def until(cluster: Cluster, what: str, holds: Callable[[], bool]) -> None:
    """Raises LabError when it does not hold in time."""
    cluster.kubectl.wait(what, lambda: None if holds() else "it is not so", SECONDS)


def the_file() -> str:
    """manifests/felix-py.yaml."""
    return (MANIFESTS / "felix-py.yaml").read_text("utf-8")


def kustomized(folder: Path) -> str:
    """What kubectl makes of the base or an overlay."""
    command = [str(binaries.built() / "kubectl"), "kustomize", str(folder)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def install(cluster: Cluster, text: str, *changes: tuple[str, str]) -> None:
    """Run the installation (again), with the manifest changed like this."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    cluster.kubectl.run("delete", *FELIX, "job", "felix-py-install", "--ignore-not-found")
    cluster.kubectl.apply(text)


def job(cluster: Cluster) -> str:
    """The install Job's last words, as kubelet tells them."""
    pods = cluster.kubectl.get(*FELIX, "pods", "-l", "app.kubernetes.io/component=install")
    states = [
        status.get(kind, {}).get("terminated", {})
        for pod in pods
        for status in pod["status"].get("containerStatuses", ())
        for kind in ("state", "lastState")
    ]
    return " ".join(str(state.get("message", state.get("reason", ""))) for state in states)


def all_ready(cluster: Cluster) -> bool:
    """Whether every node has its agents, and all are ready."""
    agents, nodes = cluster.kubectl.get(*applied.AGENTS), cluster.kubectl.get("nodes")
    return len(agents) == len(NODES) and all(map(ready, [*agents, *nodes]))


def until_ready(cluster: Cluster) -> None:
    """Raises LabError when they are not in time."""
    until(cluster, "agents are ready", partial(all_ready, cluster))


def delete(cluster: Cluster) -> None:
    """The first half of taking it away: pods keep their network."""
    cluster.kubectl.run("delete", "-f", "-", "--wait=false", stdin=the_file())
    cluster.kubectl.apply((MANIFESTS / "cleanup.yaml").read_text("utf-8"))


def delete_pods(cluster: Cluster) -> None:
    """All that have our network."""
    run = cluster.kubectl.run
    run("delete", "namespace", proof.NAMESPACE, "--ignore-not-found", "--timeout=100s")
    run("delete", "-n", "kube-system", "deployment", "coredns", "--ignore-not-found")


def clean_up(cluster: Cluster) -> dict[str, str]:
    """The second half, when the pods have been deleted; what of ours is left on which node."""
    kubectl = cluster.kubectl
    kubectl.run("rollout", "status", *CLEANUP, "daemonset/felix-py-cleanup", "--timeout=110s")
    kubectl.run("wait", "--for=delete", "namespace/felix-py", "--timeout=110s")
    left = {node: left_on(cluster, node) for node in NODES}
    kubectl.run("label", "nodes", "--all", "felix-py.io/etcd-")
    kubectl.run("delete", "-f", "-", stdin=(MANIFESTS / "cleanup.yaml").read_text("utf-8"))
    return {node: told for node, told in left.items() if told}


def left_on(cluster: Cluster, node: str) -> str:
    """What of ours a node has, in the words of ip, nft and ls; its snapshots may stay."""
    folders = "/run/felix-py /var/lib/felix-py /opt/cni/bin /etc/cni/net.d"
    look = (
        "ip -o link; ip -4 route show table all; ip -6 route show table all; nft list ruleset; "
        f"find {folders} -mindepth 1; find /var/lib/felix-py-etcd -type f -not -path '*/snapshots/*'"
    )
    seen = cluster.lab.exec(node, "sh", "-c", look)
    marks = r"cali|proto 8[01]\b|felix-py|fpq|tunl0:.*UP|/opt/cni|/etc/cni"
    return "\n".join(line for line in seen.splitlines() if re.search(marks, line))
