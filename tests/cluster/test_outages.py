"""Whatever is restarted or killed: pods' packets go on, and pods asked for meanwhile run afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from felix_py.lab import bring_up, faults, inventory
from felix_py.lab.kubernetes import applied, inside, proof
from felix_py.lab.kubernetes.proof import ClusterPod
from tests.support import previous
from tests.support.cluster import Cluster
from tests.support.lab import eventually
from tests.support.pinger import Pinger

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1500)]
SECONDS = 400.0
PODS = 6
DAEMONS = ("felix", "bgp", "relay", "exabgp", "launcher", "cni")
PROGRAMS = ("kubelet", "containerd", "kube-proxy")
LEAST = 500
"""Pings of a stream that say something; a busy host sends fewer than one hundred a second."""
WHOLE_SECONDS = 90.0
API_SECONDS = 60.0
ETCD_SECONDS = 10.0
PAST_EVERY_RESTART_SECONDS = 130.0
"""Graceful restart keeps routes for 120 s: what only stood because of it would be gone by then."""


class Streams:
    """Pings between the racks and within one, both directions, and out, one hundred a second each."""

    def __init__(self, cluster: Cluster, stack: ExitStack) -> None:
        self.pods = {pod.node: pod for pod in proof.scale(cluster.kubectl, PODS, SECONDS)}
        self._pingers = [
            stack.enter_context(Pinger(source.name, target, enter=enter(cluster, source)))
            for source in (self.pods["node-a2"], self.pods["node-b1"])
            for target in targets(cluster, self.pods, source)
        ]
        self._steps: list[str] = []

    def step(self, what: str) -> None:
        """What happens from now on, named by the streams' newest pings: so a lost one has a cause."""
        newest = max(pinger.count_so_far() for pinger in self._pingers)
        self._steps.append(f"{newest} {what}")

    def lost(self) -> str:
        """Which pings were lost, in words, and which step began with which ping; empty: none."""
        assert eventually(
            lambda: all(pinger.count_so_far() >= LEAST for pinger in self._pingers), 60
        )
        counts = [pinger.stop() for pinger in self._pingers]
        bad = [str(count) for count in counts if count.missing or count.duplicates]
        return "\n".join([*bad, *self._steps]) if bad else ""


@contextmanager
def streams(cluster: Cluster) -> Iterator[Streams]:
    """They run until they are counted."""
    with ExitStack() as stack:
        yield Streams(cluster, stack)


def targets(cluster: Cluster, by_node: dict[str, ClusterPod], source: ClusterPod) -> Iterator[str]:
    yield from (pod.address for pod in by_node.values() if pod != source)
    yield from (str(rack.tor.outside) for rack in cluster.topology.racks)


def enter(cluster: Cluster, pod: ClusterPod) -> Sequence[str]:
    """How to start something in a pod's network that outlives its containers."""
    found = inside.containers(cluster.kubectl, "-n", proof.NAMESPACE)
    return inside.enter(cluster.lab.home, next(one for one in found if one.pod == pod.name))


def kill(cluster: Cluster, machine: str, kind: str) -> None:
    """kill -9, and wait until it runs again."""
    home, topology = cluster.lab.home, cluster.topology
    before = faults.process(home, topology, machine, kind, hold=False)

    def back() -> bool:
        now = inventory.pids(home, topology, machine, kind)
        gone = all(not Path(f"/proc/{pid}").exists() for pid in before)
        return gone and bool(now) and not set(now) & set(before)

    assert eventually(back, 60), f"{kind} of {machine} is not back"


def kill_leader(cluster: Cluster) -> None:
    """kill -9, and wait until somebody leads and every one of the controllers is ready."""
    name = applied.leader(cluster.kubectl)
    found = inside.containers(cluster.kubectl, *applied.CONTROLLERS[:2])
    container = next(one for one in found if one.pod == name)
    for pid in inside.processes(cluster.lab.home, container):
        os.kill(pid, signal.SIGKILL)

    def another() -> bool:
        again = inside.containers(cluster.kubectl, *applied.CONTROLLERS[:2])
        started = container.identity not in {one.identity for one in again}
        return started and applied.controllers_not_ready(cluster.kubectl) is None

    assert eventually(another, 90), applied.controllers_not_ready(cluster.kubectl)
    assert eventually(lambda: applied.leader(cluster.kubectl) != "", 60)


@contextmanager
def held(cluster: Cluster, machine: str, kind: str) -> Iterator[None]:
    """Meanwhile a program of a machine is down."""
    cluster.lab.felix_lab("fail", "process", machine, kind, "--hold")
    try:
        yield
    finally:
        cluster.lab.felix_lab("heal", seconds=SECONDS)


@contextmanager
def store_away(cluster: Cluster) -> Iterator[None]:
    """Meanwhile our etcd does not answer; afterwards it starts again."""
    machine, kind = cluster.store
    if not cluster.topology.store_inside:
        with held(cluster, machine, kind):
            yield
        return
    pids = inventory.pids(cluster.lab.home, cluster.topology, machine, kind)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    kill(cluster, machine, kind)


def one_more(cluster: Cluster, name: str) -> None:
    """Ask for one more pod, which nobody waits for yet, on the other rack's node."""
    cluster.kubectl.run(
        *("run", name, "-n", proof.NAMESPACE, "--labels=app=more", "--image-pull-policy=Never"),
        *("--image=docker.io/felix-py/busybox:1", f"--overrides={OVERRIDES}", "--"),
        *("httpd", "-f", "-p", "8080", "-h", "/www"),
    )


OVERRIDES = '{"spec":{"terminationGracePeriodSeconds":0,"nodeSelector":{"kubernetes.io/hostname":"node-b1"}}}'


def whole_again(cluster: Cluster) -> bool:
    """Whether what was killed has come back and has said and heard everything: one thing fails at a time.

    A peer keeps stale routes over one restart; it drops them when the session breaks again before
    End-of-RIB (RFC 4724 section 4.2). The kubelets' probes are seconds behind.
    """
    topology = cluster.topology
    if topology.applied and applied.agents_not_ready(cluster.kubectl, topology) is not None:
        return False
    return all(spoken_to_all(cluster, node.name) for _, node in topology.nodes)


def spoken_to_all(cluster: Cluster, node: str) -> bool:
    """Whether each of a node's sessions is up, with everything said and nothing left of before."""
    command = (*cluster.lab.inside(node), "felixctl", "status", "-o", "json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:  # something is not well yet, and said
        return False
    held = json.loads(done.stdout)["daemons"]["bgp"]
    return held["state"] == "ok" and all(
        each["state"] == "up" and each["announcedAll"] and not each["stale"]
        for each in held["status"]["sessions"]
    )


def replace_agents(cluster: Cluster, pings: Streams, *, older: bool) -> None:
    """One node at a time: back to the commit before this one and forth again, or by the same image."""
    kubectl, agents = cluster.kubectl, (*applied.NAMESPACE, f"daemonset/{applied.AGENT}")
    ours = kubectl.run("get", *agents, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    changes = [("set", "image", *agents, f"*={image}") for image in (previous.NAME, ours)]
    for change in changes if older else [("rollout", "restart", *agents)]:
        pings.step(" ".join(change))
        kubectl.run(*change)
        kubectl.run("rollout", "status", *agents, timeout_seconds=SECONDS)


def all_run(cluster: Cluster) -> bool:
    """Whether the pods that were asked for run and are reached from the other rack."""
    found = cluster.kubectl.get("pods", "-n", proof.NAMESPACE, "-l", "app=more")
    addresses = [pod["status"].get("podIP", "") for pod in found]
    return bool(addresses) and all(map(partial(reached, cluster), addresses))


def reached(cluster: Cluster, address: str) -> bool:
    if not address:
        return False
    asker = next(pod for pod in proof.answering_pods(cluster.kubectl) if pod.node == "node-a2")
    return proof.fetch(cluster.kubectl, asker.name, address)[0] != ""


@pytest.fixture
def crowd(cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Asks for one more pod by a name; all of them are gone afterwards."""
    yield partial(one_more, cluster)
    cluster.kubectl.run("delete", "pods", "-n", proof.NAMESPACE, "-l", "app=more", "--wait=true")


def test_no_ping_is_lost_while_every_program_is_killed_the_stores_are_away_and_agents_are_replaced(
    cluster: Cluster, crowd: Callable[[str], None], tmp_path: Path
) -> None:
    older = cluster.topology.applied and previous.give(cluster, tmp_path)
    with streams(cluster) as pings:
        time.sleep(2)
        for node in ("node-a2", "node-b1"):
            for kind in (*DAEMONS, *PROGRAMS):
                pings.step(f"kill {kind} of {node}")
                kill(cluster, node, kind)
                bring_up.wait_sessions(cluster.lab.home, cluster.topology, WHOLE_SECONDS)
                assert eventually(lambda: whole_again(cluster), WHOLE_SECONDS)
                crowd(f"after-{kind}-{node}")
        pings.step("all run again")
        assert eventually(lambda: all_run(cluster), 120)
        if cluster.topology.applied:
            pings.step("kill the controllers' leader")
            kill_leader(cluster)
        pings.step("our etcd is away")
        with store_away(cluster):
            crowd("without-our-store")
            time.sleep(ETCD_SECONDS)
        if cluster.topology.applied:
            replace_agents(cluster, pings, older=older)
            crowd("after-the-upgrade")
        restarted_at = time.monotonic()
        pings.step("the API server is away")
        with held(cluster, "node-a1", "kube-apiserver"):
            time.sleep(API_SECONDS)
        crowd("after-the-api")
        assert eventually(lambda: all_run(cluster), 120)
        pings.step("the end of what is restarted")
        time.sleep(max(0.0, restarted_at + PAST_EVERY_RESTART_SECONDS - time.monotonic()))
        lost = pings.lost()
        assert not lost, lost


def test_pings_that_are_lost_are_counted(cluster: Cluster) -> None:
    """The control: a way that is cut for half a second."""
    with streams(cluster) as pings:
        time.sleep(2)
        victim = pings.pods["node-b1"]
        way = ("blackhole", f"{victim.address}/32", "metric", "1")
        cluster.lab.exec("node-b1", "ip", "route", "add", *way)
        time.sleep(0.5)
        cluster.lab.exec("node-b1", "ip", "route", "del", *way)
        assert victim.address in pings.lost()
