"""The cluster inside the virtual machine: the lab's parts, with waits for a slow processor."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec

from felix_py.lab import (
    addressing,
    cni_runtime,
    etcd,
    fabric,
    machine,
    namespaces,
    node,
    outside,
    pods,
    router,
    store_content,
    topology_file,
)
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from felix_py.lab.pods import Pod
from tests.vm.guest.packets import Pair

SLOW_SECONDS = 600.0
"""How long anything that takes seconds on a real host may take here."""
SPINE = "spine"
"""The capture point between the two routers."""
DIRECT, TUNNEL = ("eth0", "81"), ("tunl0", "80")
"""Device and protocol of a route: by BGP, and felix's through IPIP."""
Ways = dict[tuple[str, str], tuple[str, str]]
LOOK_EVERY_SECONDS = 2.0
"""Looking takes a part of the processor that the nodes need."""
DAEMONS = ("felix", "bgp", "cni")
NODES = ("node-a1", "node-a2", "node-b1")
POOL = "/calico/resources/v3/projectcalico.org/ippools/pods"


class Cluster:
    """Three nodes with our daemons, their ToRs, etcd, and a pod on each node."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.home = Home("vm", Path("/run/felix-lab/vm"))
        self.topology = topology_file.load(str(Path(__file__).with_name("cluster.yaml")))
        self._say = say
        self.pods: dict[str, Pod] = {}

    def up(self) -> None:
        """Build it; returns when every node's daemons have read etcd and every pod has its address."""
        _be_patient()
        self.home.make()
        encoded = msgspec.json.encode(self.topology, enc_hook=str)
        self.home.topology_file.write_bytes(encoded)
        fabric.build(self.home, self.topology)
        etcd.start(self.home, self.topology)
        store_content.write(self.home, self.topology)
        router.start(self.home, self.topology)
        outside.start(self.home, self.topology)
        self._say("etcd and routers run")
        for name in NODES:  # one by one: all at once, each start takes longer than all together
            node.start(self.home, self.topology, name)
            self._wait_in_sync(name)
            self._say(f"{name} runs")
        self._say("daemons have read etcd")
        for name in NODES:
            self.pods[name] = pods.add(self.home, name, f"pod-{name.removeprefix('node-')}")
        self._say("pods have addresses: " + ", ".join(pod.address for pod in self.pods.values()))

    def _wait_in_sync(self, name: str) -> None:
        """The lab's own wait looks twenty times a second, which takes half of this processor."""
        deadline = time.monotonic() + SLOW_SECONDS
        while waiting := [each for each in DAEMONS if not self._in_sync(name, each)]:
            log = self.home.log(name, waiting[0])
            said = f"{name}: {waiting[0]} has not read etcd; it last said {node.last_line(log)}"
            assert time.monotonic() < deadline, said
            time.sleep(LOOK_EVERY_SECONDS)

    def _in_sync(self, name: str, daemon: str) -> bool:
        store = self.status(name, daemon).get("store")
        return isinstance(store, dict) and bool(store.get("inSync"))

    def set_mode(self, mode: str) -> None:
        """Change the pool's ipipMode, as an operator does."""
        stored = json.loads(self.etcd("get", POOL, "--print-value-only"))
        stored["spec"]["ipipMode"] = mode
        etcd.ctl(self.home, self.topology, ["put", POOL], stdin=json.dumps(stored))

    def etcd(self, *arguments: str) -> str:
        """etcdctl's answer."""
        return etcd.ctl(self.home, self.topology, list(arguments))

    def run(self, name: str, *argv: str) -> str:
        """What a command wrote inside a machine."""
        return Machine(self.home, name).run(list(argv))

    def status(self, name: str, daemon: str = "felix") -> dict[str, object]:
        """What a daemon says of itself."""
        return node.status(self.home, name, daemon) or {}

    def address(self, name: str) -> str:
        """A node's address, without its prefix."""
        return str(addressing.node_address(self.topology, name).ip)

    def pair(self, name: str, other: str) -> Pair:
        """The pods of two nodes, and the capture points between them."""
        points = {name, other} if name[5] == other[5] else {name, SPINE, other}
        return Pair(
            (name, other),
            (self.address(name), self.address(other)),
            (self.pods[name].address, self.pods[other].address),
            frozenset(points),
        )

    def places(self) -> dict[str, tuple[str, str]]:
        """The capture points as (namespace, interface): both sides of the routers, and between them."""
        found = {
            name: (self.home.netns(self.topology.rack_of(name).tor.name), name) for name in NODES
        }
        return {**found, SPINE: (self.home.netns("tor-a"), "tor-b")}

    def ways(self) -> Ways:
        """(node, other node) -> device and protocol number of the narrowest route to the other's pod."""
        found = {}
        for name in NODES:
            for other in NODES:
                if name == other:
                    continue
                match = ("route", "show", "to", "match", self.pods[other].address)
                routes = json.loads(self.run(name, "ip", "-j", "-N", *match))
                best = max(routes, key=lambda route: ip_network(_spelled(route["dst"])).prefixlen)
                found[name, other] = (str(best.get("dev")), str(best.get("protocol")))
        return found

    def wait_for(self, wanted: Ways) -> Ways:
        """Wait until every pair goes the wanted way; how they go at the end."""
        deadline = time.monotonic() + SLOW_SECONDS
        while (seen := self.ways()) != wanted and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_SECONDS)
        return seen

    @property
    def stranger(self) -> str:
        """The address of the host that is no node."""
        return str(addressing.outside_host(self.topology.outsides[0]).ip)

    def tunnel_state(self, name: str) -> tuple[bool, list[str]]:
        """Whether a node's tunl0 is up, and its IPv4 addresses."""
        told = json.loads(self.run(name, "ip", "-j", "-4", "address", "show", "tunl0"))
        link: dict[str, Any] = next((each for each in told if each), {})
        return "UP" in link.get("flags", []), [each["local"] for each in link.get("addr_info", [])]


def all_ways(*, inside: tuple[str, str], across: tuple[str, str]) -> Ways:
    """The way of every pair, by whether both nodes are in one rack."""
    return {
        (name, other): inside if name[5] == other[5] else across
        for name in NODES
        for other in NODES
        if name != other
    }


def _spelled(destination: str) -> str:
    return "0.0.0.0/0" if destination == "default" else destination


def _be_patient() -> None:
    """The lab's waits are for real hosts."""
    machine.BOOT_SECONDS = SLOW_SECONDS
    etcd.READY_SECONDS = SLOW_SECONDS
    cni_runtime.TRY_SECONDS = SLOW_SECONDS
    cni_runtime.PLUGIN_SECONDS = SLOW_SECONDS
    namespaces.COMMAND_SECONDS = SLOW_SECONDS
