"""A lab's Kubernetes from its first certificate to pods that answer one another, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from felix_py.lab import etcd
from felix_py.lab.errors import LabError
from felix_py.lab.expect import Seen
from felix_py.lab.home import Home
from felix_py.lab.kubernetes import applied, binaries, machines, place, proof
from felix_py.lab.kubernetes.kubectl import Kubectl, ready
from felix_py.lab.kubernetes.proof import ClusterPod
from felix_py.lab.stages import Stages
from felix_py.lab.topology import Topology

READY_SECONDS = 180.0
CONDITION_TAINTS = "node.kubernetes.io/"
"""What Kubernetes itself taints nodes with, as long as a condition lasts."""
"""For the API server, for nodes, for a Deployment: on two cores that others use too."""
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane="


@dataclass(frozen=True, slots=True)
class ClusterProof:
    """What was seen of the cluster: its pods, how each reaches the others, what names resolved to."""

    pods: tuple[ClusterPod, ...]
    seen: tuple[Seen, ...]
    names: dict[str, str]


def prepare(home: Home, topology: Topology, stages: Stages) -> None:
    """What machines need before they boot: programs, certificates, images. Raises LabError."""
    with stages.stage("Kubernetes' programs (a first build takes minutes)"):
        binaries.built()
    images = place.spec(topology).images
    if topology.applied and not images:
        with stages.stage("our images (a first build downloads packages)"):
            images = applied.archives()
    with stages.stage("certificates and images"):
        machines.make_shared(home, topology, images)


def settle(home: Home, topology: Topology, stages: Stages) -> None:
    """From running programs to a cluster that has its nodes, and DNS where pods have a network."""
    kubectl = Kubectl(home, topology)
    machines.serve_names(home, topology)
    names = [node.name for _, node in topology.nodes]
    with stages.stage("the API server answers, kubelets have registered"):
        kubectl.wait("nodes registered", lambda: _absent(kubectl, names), READY_SECONDS)
        control = place.spec(topology).control_plane
        kubectl.run("label", "--overwrite", "node", control, CONTROL_PLANE_LABEL)
        address = place.dns_service(topology)
        kubectl.apply(proof.manifest("coredns", {"DNS_SERVICE": address}))
    if not topology.has_network:
        return
    if topology.applied:
        _apply(home, topology, kubectl, stages)
    with stages.stage("nodes are Ready"):
        kubectl.wait("nodes Ready", lambda: _not_ready(kubectl), READY_SECONDS)
    if topology.applied:
        with stages.stage("controllers are ready"):
            waiting = partial(applied.controllers_not_ready, kubectl)
            kubectl.wait("controllers ready", waiting, READY_SECONDS)
    with stages.stage("CoreDNS answers"):
        within = f"--timeout={READY_SECONDS:.0f}s"
        rollout = ("rollout", "status", "-n", "kube-system", "deployment/coredns", within)
        kubectl.run(*rollout, timeout_seconds=READY_SECONDS + 10)


def _apply(home: Home, topology: Topology, kubectl: Kubectl, stages: Stages) -> None:
    """Our manifest or the files that were given, until every agent is ready. Raises LabError."""
    with stages.stage("felix-py.yaml is applied; certificates and etcd are made"):
        given = place.spec(topology).manifests
        for text in map(_read, given) if given else [applied.manifest(topology)]:
            kubectl.apply(text)
        if topology.store_inside:
            secret = partial(applied.keep_certificates, home, kubectl)
            kubectl.wait("the installation's Secret", secret, READY_SECONDS)
            etcd.wait_ready(home, topology, READY_SECONDS)
    with stages.stage("agents are ready"):
        waiting = partial(applied.agents_not_ready, kubectl, topology)
        kubectl.wait("agents ready", waiting, READY_SECONDS)


def prove(home: Home, topology: Topology, stages: Stages) -> ClusterProof:
    """Pods on every node reach each other and what is outside; names resolve. Raises LabError."""
    kubectl = Kubectl(home, topology)
    count = place.spec(topology).pods
    with stages.stage(f"{count} pods by the scheduler and the kubelets"):
        pods = proof.scale(kubectl, count, READY_SECONDS)
    with stages.stage("every pod reaches every pod and what is outside"):
        seen = proof.look(kubectl, topology, pods)
        found = proof.complaints(seen)
        if found:
            raise LabError("; ".join(found[:12]))
    with stages.stage("names of services and of the outside resolve"):
        names = _names(kubectl, topology, pods[0])
    return ClusterProof(tuple(pods), tuple(seen), names)


def _names(kubectl: Kubectl, topology: Topology, pod: ClusterPod) -> dict[str, str]:
    resolver, address = place.resolver(topology)
    wanted = {
        f"kubernetes.default.svc.{place.CLUSTER_DOMAIN}": str(place.api_service(topology)),
        f"{resolver}.{place.OUTSIDE_ZONE}": str(address),
    }
    for name, expected in wanted.items():

        def wrong(name: str = name, expected: str = expected) -> str | None:
            found = proof.resolves(kubectl, pod.name, name)
            return None if found == [expected] else f"{found}, and should be {expected}"

        kubectl.wait(f"{name} resolves", wrong, READY_SECONDS)
    return wanted


def _read(manifest: str) -> str:
    try:
        return Path(manifest).read_text("utf-8")
    except OSError as error:
        raise LabError(f"{manifest}: {error.strerror}") from error


def _absent(kubectl: Kubectl, names: list[str]) -> str | None:
    there = {node["metadata"]["name"] for node in kubectl.get("nodes")}
    missing = [name for name in names if name not in there]
    return f"missing: {', '.join(missing)}" if missing else None


def _not_ready(kubectl: Kubectl) -> str | None:
    """Ready for the scheduler, too: the taints of a node that was not Ready go a moment later."""
    nodes = kubectl.get("nodes")
    waiting = [node for node in nodes if not ready(node)]
    said = [
        f"{node['metadata']['name']}: {condition['message']}"
        for node in waiting
        for condition in node["status"].get("conditions", [])
        if condition["type"] == "Ready"
    ]
    said += [
        f"{node['metadata']['name']}: taint {taint['key']}"
        for node in nodes
        for taint in node["spec"].get("taints", [])
        if taint["key"].startswith(CONDITION_TAINTS)
    ]
    return "; ".join(said) or ("no conditions yet" if waiting else None)
