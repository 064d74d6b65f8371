"""kill -9 one process after the other by the lab's own functions, with pods made and pinged meanwhile."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from felix_py.lab import etcd, faults, inventory, pods
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from tests.support.lab import Lab, eventually, in_netns
from tests.support.pinger import Count, Pinger

KINDS = ("felix", "bgp", "relay", "exabgp", "launcher", "cni")
ELSEWHERE = {"node-a1": "node-b2", "node-b1": "node-a2", "node-a2": "node-b2"}
"""Where pods are made while something on a node is down."""
BETWEEN_KILLS_SECONDS = 3.0
AFTER_LAST_KILL_SECONDS = 130.0
"""Past every restart time (120 s): routes that were only kept stale would be gone by then."""


class Hands:
    """The lab's own functions, without a command's start in between: kills come close together."""

    def __init__(self, lab: Lab) -> None:
        self.home = Home(lab.name, lab.directory)
        self.topology = inventory.topology_that_is_up(self.home)

    def pids(self, machine: str, kind: str) -> list[int]:
        """The processes of a kind on a machine."""
        return inventory.pids(self.home, self.topology, machine, kind)

    def kill(self, machine: str, kind: str) -> list[int]:
        """kill -9; the ids that were hit."""
        return faults.process(self.home, self.topology, machine, kind, hold=False)

    def replaced(self, machine: str, kind: str, before: list[int]) -> bool:
        """The process runs again under another id, and the old one is gone."""
        now = self.pids(machine, kind)
        gone = all(not Path(f"/proc/{pid}").exists() for pid in before)
        return gone and bool(now) and not set(now) & set(before)

    def said(self, machine: str, kind: str) -> str:
        """Why a process may not be back: who runs there, the last words of its keeper and its own."""
        words = [f"{kind} of {machine} not back; keeper {Machine(self.home, machine).keeper_pid}"]
        for program in ("keeper", kind):
            log = self.home.log(machine, program)
            words.append(f"{log}:\n{log.read_text()[-2000:] if log.exists() else 'absent'}")
        return "\n".join(words)

    def blocks(self, node: str) -> int:
        """How many blocks a node has claimed, by etcdctl."""
        prefix = f"/calico/ipam/v2/host/{node}/ipv4/block/"
        told = etcd.ctl(self.home, self.topology, ["get", "--prefix", "--keys-only", prefix])
        return len(told.split())

    def add_pod(self, node: str) -> pods.Pod:
        """One more pod."""
        return pods.add(self.home, node, pods.next_name(self.home, node))

    def add_pods_until_a_new_block(self, node: str) -> list[pods.Pod]:
        """Pods on a node until it has claimed one more block."""
        before, made = self.blocks(node), [self.add_pod(node)]
        while self.blocks(node) == before:
            assert len(made) < 4, f"{node} claims no block"
            made.append(self.add_pod(node))
        return made


def reaches(source: pods.Pod, target: pods.Pod) -> bool:
    """Pings that come back, one by every family that the target has."""
    addresses = [address for version in (4, 6) if (address := target.addressed(version))]
    return all(
        in_netns(source.netns, "ping", "-c", "1", "-W", "1", address, check=False).returncode == 0
        for address in addresses
    )


def kill_and_work_meanwhile(hands: Hands, node: str, kind: str) -> None:
    """Kill; while it is down another node claims and announces a block; both work afterwards."""
    before = hands.kill(node, kind)
    made = hands.add_pods_until_a_new_block(ELSEWHERE[node])
    assert eventually(lambda: hands.replaced(node, kind, before), 20), hands.said(node, kind)
    here = next(pod for pod in pods.every(hands.home) if pod.node == node)
    for pod in made:
        assert eventually(partial(reaches, here, pod), 20), f"{here} -> {pod}"
    fresh = hands.add_pod(node)
    assert eventually(partial(reaches, fresh, made[-1]), 20), f"{fresh} -> {made[-1]}"
    assert eventually(partial(reaches, made[-1], fresh), 20), f"{made[-1]} -> {fresh}"
    pods.delete(hands.home, fresh.name)


def counted(pingers: list[Pinger]) -> list[Count]:
    """Stop all streams."""
    return [pinger.stop() for pinger in pingers]
