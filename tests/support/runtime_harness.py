"""A runtime under test conditions: many ADDs and DELs at once, and kills that land in their midst."""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from felix_py.lab import cni_runtime, namespaces
from felix_py.lab.cni_runtime import Attachment
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from tests.e2e.truth import Pod

IN_FLIGHT_SECONDS = 0.002
"""A request counts as in flight when its plugin has run so long: it has reached the server."""
KILL_SECONDS = 60.0


class Runtime:
    """Creates and removes pods on the nodes of a lab; knows which requests are under way."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[str, float]] = {}
        self.living: dict[str, tuple[Pod, str]] = {}

    def create(self, node: str, number: int) -> None:
        """A pod with one interface, by ADD; a failed ADD is followed by DEL and tried again."""
        container_id = secrets.token_hex(32)
        netns = f"{self._home.name}-churn-{number}"
        namespaces.create(netns)
        machine = Machine(self._home, node)
        with self._flight(node):
            cni_runtime.add(machine, attachment(netns, container_id, number))
        pod = Pod(f"churn-{number}", machine.netns, netns, container_id)
        with self._lock:
            self.living[pod.name] = (pod, node)

    def remove(self, number: int) -> None:
        """DEL until it succeeds, twice as runtimes may, then the namespace goes."""
        pod, node = self.living[f"churn-{number}"]
        machine = Machine(self._home, node)
        wanted = attachment(pod.netns, pod.container_id, number)
        with self._flight(node):
            cni_runtime.delete(machine, wanted)
        cni_runtime.delete(machine, wanted)
        namespaces.delete(pod.netns)
        with self._lock:
            del self.living[pod.name]

    def in_flight(self, node: str) -> frozenset[str]:
        """Requests on a node that have been under way long enough to have reached its server."""
        now = time.monotonic()
        with self._lock:
            return frozenset(
                token
                for token, (where, since) in self._under_way.items()
                if where == node and now - since >= IN_FLIGHT_SECONDS
            )

    @contextmanager
    def _flight(self, node: str) -> Iterator[None]:
        token = secrets.token_hex(8)
        with self._lock:
            self._under_way[token] = (node, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[token]


def attachment(netns: str, container_id: str, number: int) -> Attachment:
    """Every other pod is Kubernetes', the others have no name but their container id."""
    args = ""
    if number % 2:
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=churn;K8S_POD_NAME=churn-{number}"
    return Attachment(container_id, namespaces.path(netns), args=args)


class Killer:
    """Kills CNI servers while requests of theirs are in flight; counts only kills that landed so."""

    def __init__(self, runtime: Runtime, home: Home, nodes: list[str], wanted: int) -> None:
        self._runtime = runtime
        self._home = home
        self._nodes = nodes
        self._wanted = wanted
        self.landed: list[tuple[str, int]] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        turn = 0
        while not self.stop.is_set() and len(self.landed) < self._wanted:
            node = self._nodes[turn % len(self._nodes)]
            turn += 1
            self._try(node)
            time.sleep(0.02)

    def _try(self, node: str) -> None:
        pid = Machine(self._home, node).pids().get("cni")
        if pid is None or not Path(self._home.run_dir(node) / "felix-py" / "cni.sock").exists():
            return
        before = self._runtime.in_flight(node)
        if not before or (node, pid) in self.landed:
            return
        namespaces.signal_quietly(pid, signal.SIGKILL)
        if before & self._runtime.in_flight(node):
            self.landed.append((node, pid))
