"""Pods of the cluster that reach one another, seen from inside them by `kubectl exec`.

The way is the one that the lab expects of its own pods, too: the TTL of a ping's answer says how many
routers there were, and who answers by TCP says as whom it sees the asker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from felix_py.lab import answering, paths
from felix_py.lab.addressing import node_address, targets_outside
from felix_py.lab.errors import LabError
from felix_py.lab.expect import Seen
from felix_py.lab.kubernetes.kubectl import Kubectl, ready
from felix_py.lab.topology import Topology

MANIFESTS = Path(__file__).with_name("manifests")
NAMESPACE = "lab"
NODE_PORT = 30080
AT_ONCE = 4
ROUNDS = 3
"""How often a pair that does not answer is asked again: a busy host loses packets."""
ASK = r"""
for target in "$@"; do (
    address=${target#*:}
    ttl=$(ping -c 2 -i 1 -W 3 "$address" | sed -n 's/.* ttl=\([0-9]*\) .*/\1/p' | head -n 1)
    case $target in
    http:*) said=$(printf 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' | nc -w 5 "$address" 8080) ;;
    *) said=$(nc -w 5 "$address" 8080 </dev/null) ;;
    esac
    echo "$address ${ttl:--} $(echo "$said" | tail -n 2 | tr '\n' ' ')"
) & done
wait
"""
"""Each target as http:ADDRESS or plain:ADDRESS; a line for each: address, TTL or -, name, asker."""


@dataclass(frozen=True, slots=True)
class ClusterPod:
    """A running pod as the API has it."""

    name: str
    node: str
    address: str


def manifest(name: str, values: Mapping[str, object]) -> str:
    """A manifest of the lab's with its capital words replaced."""
    text = (MANIFESTS / f"{name}.yaml").read_text("utf-8")
    for word, value in values.items():
        text = text.replace(word, str(value))
    return text


def scale(kubectl: Kubectl, replicas: int, seconds: float) -> list[ClusterPod]:
    """Have this many answering pods, and the services before them. Raises LabError at the time's end."""
    kubectl.apply(manifest("answer", {"REPLICAS": replicas}))

    def missing() -> str | None:
        found = kubectl.get("pods", "-n", NAMESPACE, "-l", "app=answer")
        waiting = [pod["metadata"]["name"] for pod in found if not ready(pod)]
        if len(found) == replicas and not waiting:
            return None
        return f"{len(found)} of {replicas} pods exist, not ready: {', '.join(waiting[:5])}"

    kubectl.wait(f"{replicas} pods ready", missing, seconds)
    return answering_pods(kubectl)


def answering_pods(kubectl: Kubectl) -> list[ClusterPod]:
    """The pods that answer, by name."""
    found = kubectl.get("pods", "-n", NAMESPACE, "-l", "app=answer")
    made = [
        ClusterPod(pod["metadata"]["name"], pod["spec"]["nodeName"], pod["status"]["podIP"])
        for pod in found
        if ready(pod)
    ]
    return sorted(made, key=lambda pod: pod.name)


def look(kubectl: Kubectl, topology: Topology, pods: Sequence[ClusterPod]) -> list[Seen]:
    """Every pod asks every other one and what is outside and has a way back. Raises LabError."""
    with ThreadPoolExecutor(AT_ONCE) as workers:
        jobs = [workers.submit(_look_from, kubectl, topology, pod, pods) for pod in pods]
        return [seen for job in jobs for seen in job.result()]


def complaints(seen: Iterable[Seen]) -> list[str]:
    """What does not hold, in words."""
    return [said for each in seen if (said := each.complaint) is not None]


def _look_from(
    kubectl: Kubectl, topology: Topology, source: ClusterPod, pods: Sequence[ClusterPod]
) -> list[Seen]:
    others = {pod.address: pod for pod in pods if pod != source}
    outside = {
        str(address): name
        for name, address in targets_outside(topology).items()
        if paths.answered(topology, source.node, source.address, name)
    }
    found: dict[str, Seen] = {}
    asked = [f"http:{address}" for address in others] + [f"plain:{one}" for one in outside]
    for _ in range(ROUNDS):
        for line in ask(kubectl, source.name, ASK, asked).splitlines():
            address, ttl, said, saw = (*line.split(), "", "")[:4]
            known = others.get(address)
            name, place = (known.name, known.node) if known else (outside[address],) * 2
            found[address] = _seen(topology, source, name, place, (ttl, said, saw))
        asked = [one for one in asked if _again(found.get(one.partition(":")[2]))]
        if not asked:
            break
    return list(found.values())


def _again(seen: Seen | None) -> bool:
    return seen is None or seen.complaint is not None


def _seen(
    topology: Topology, source: ClusterPod, name: str, place: str, told: tuple[str, str, str]
) -> Seen:
    ttl, said, saw = told
    way = paths.between(topology, source.node, place, source.address)
    node = str(node_address(topology, source.node).ip)
    return Seen(
        source.name,
        name,
        int(ttl) if ttl.isdigit() else None,
        said or None,
        way,
        saw or None,
        node if way.translated else source.address,
    )


def ask(kubectl: Kubectl, pod: str, script: str, arguments: Sequence[str] = ()) -> str:
    """What a script wrote inside an answering pod. Raises LabError."""
    command = ("exec", "-n", NAMESPACE, pod, "--", "sh", "-c", script, "sh", *arguments)
    return kubectl.run(*command)


def resolves(kubectl: Kubectl, pod: str, name: str) -> list[str]:
    """The IPv4 addresses that a pod's resolver gives for a name; none where it does not know it."""
    try:
        told = ask(kubectl, pod, 'nslookup -type=a "$1"', [name])
    except LabError:
        return []
    lines = told.partition("Name:")[2].splitlines()
    return sorted({line.split()[-1] for line in lines if line.startswith("Address")})


def answered_by(kubectl: Kubectl, pod: str, host: str, port: int, times: int) -> set[str]:
    """Who answered behind this address and port, asked so often from a pod."""
    script = (
        r"""for _ in $(seq "$3"); do """
        r"""printf 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' | nc -w 5 "$1" "$2" | tail -n 2 | head -n 1; """
        "done"
    )
    return set(ask(kubectl, pod, script, [host, str(port), str(times)]).split())


def fetch(kubectl: Kubectl, pod: str, host: str, port: int = answering.PORT) -> tuple[str, str]:
    """Who answered behind this address and port, and as whom it saw the pod; empty if nobody did."""
    script = r"""printf 'GET /cgi-bin/who HTTP/1.0\r\n\r\n' | nc -w 5 "$1" "$2" | tail -n 2"""
    lines = ask(kubectl, pod, script, [host, str(port)]).split()
    return (lines[0], lines[1]) if len(lines) == 2 else ("", "")
