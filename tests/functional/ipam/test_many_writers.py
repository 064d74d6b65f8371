"""Several nodes on one nearly full pool, killed at random, etcd too: no address is ever held twice."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from tests.functional.ipam.history_check import ENDPOINTS, HANDLES, World, history
from tests.functional.ipam.writer_process import live
from tests.support.etcd import EtcdServer

NODES = ("a", "b", "c")
KILLS = 10
LEASES = 250
MAX_STORM_SECONDS = 15.0
"""The storm ends when it did enough; a slow machine does less within this time."""
R = "/calico/resources/v3/projectcalico.org"


def resource(kind: str, name: str, **spec: Any) -> str:
    metadata = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    document = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": metadata}
    return json.dumps({**document, "spec": spec})


def initialise(server: EtcdServer) -> None:
    cluster = resource("ClusterInformation", "default", clusterGUID="a" * 32, datastoreReady=True)
    server.put(f"{R}/clusterinformations/default", cluster)
    server.put(f"{R}/ippools/v4", resource("IPPool", "v4", cidr="10.0.0.0/26", blockSize=29))
    server.put(f"{R}/ippools/v6", resource("IPPool", "v6", cidr="fd00::/120", blockSize=124))
    for node in NODES:
        server.put(f"{R}/nodes/{node}", resource("Node", node))


class Writers:
    """The processes; only they are ever signalled, by their own ids."""

    def __init__(self, server: EtcdServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.seed = 0
        self.running: dict[str, ForkServerProcess] = {}
        self.before: dict[str, int] = {}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.functional.ipam.writer_process"])

    def start(self, node: str, mode: str = "work") -> ForkServerProcess:
        self.seed += 1
        self.before[node] = self.leases(node)
        arguments = (self.server.endpoint, node, self.directory, self.seed, mode)
        process = self.context.Process(target=live, args=arguments, daemon=True)
        process.start()
        self.running[node] = process
        return process

    def leases(self, node: str = "*") -> int:
        """How many leases were granted (on a node)."""
        return sum(p.read_bytes().count(b"\n") for p in self.directory.glob(f"{node}/granted"))

    def await_work(self, node: str, most_seconds: float) -> None:
        """Until the node's present process granted a lease."""
        until = time.monotonic() + most_seconds
        while self.leases(node) <= self.before[node] and time.monotonic() < until:
            time.sleep(0.02)

    def kill(self, node: str) -> None:
        process = self.running.pop(node)
        process.kill()
        process.join(10)
        process.close()

    def stop_all(self) -> None:
        for process in self.running.values():
            process.terminate()
        for node in list(self.running):
            self.running[node].join(10)
            self.kill(node)

    def drain(self) -> int | None:
        """Release everything through one node's allocator; how many are left."""
        process = self.start("a", "drain")
        process.join(20)
        return process.exitcode

    def logs(self) -> str:
        texts = [path.read_text("utf-8")[-2000:] for path in self.directory.glob("*.log")]
        return "\n".join(texts)


def granted(directory: Path) -> dict[int, list[tuple[str, list[str]]]]:
    """Revision to the leases whose holders were told of it; a killed writer's last line may be torn."""
    found: dict[int, list[tuple[str, list[str]]]] = {}
    for path in directory.glob("*/granted"):
        for line in path.read_text("utf-8").splitlines():
            try:
                handle, addresses, revision = json.loads(line)
            except ValueError:
                continue
            found.setdefault(revision, []).append((handle, addresses))
    return found


@pytest.mark.etcd
def test_no_address_is_ever_held_twice_and_none_is_leaked(tmp_path: Path) -> None:
    with EtcdServer() as server:
        initialise(server)
        writers = Writers(server, tmp_path)
        try:
            storm(server, writers)
            writers.stop_all()
            assert writers.drain() == 0, writers.logs()
        finally:
            for node in list(writers.running):
                writers.kill(node)
        world, problems, granted_count = walk(server, granted(tmp_path))
        assert problems == []
        assert granted_count > 60, writers.logs()
        assert world.borrowed > 0
        assert world.most_held > 60
        assert world.owner_of == {}
        left = server.dump("/calico/")
        assert [key for key in left if key.startswith((HANDLES, ENDPOINTS))] == []
        assert half_way(left) == []


def storm(server: EtcdServer, writers: Writers) -> None:
    """Everybody works; a writer is killed every now and then, etcd once."""
    dice = random.Random(7)
    for node in NODES:
        writers.start(node)
    began = time.monotonic()
    kills = 0
    while time.monotonic() - began < MAX_STORM_SECONDS:
        node = dice.choice(NODES)
        writers.await_work(node, most_seconds=10)
        time.sleep(dice.uniform(0, 0.1))
        writers.kill(node)
        kills += 1
        if kills == KILLS // 2:
            server.restart()
        writers.start(node)
        if kills >= KILLS and writers.leases() >= LEASES:
            break
    assert kills >= KILLS // 2, "the machine is too slow to prove anything"


def walk(
    server: EtcdServer, leases: dict[int, list[tuple[str, list[str]]]]
) -> tuple[World, list[str], int]:
    """The world at the end, everything that was ever wrong, and how many leases were true."""
    world = World()
    problems: list[str] = []
    confirmed = 0
    for revision, changes in history(server):
        problems += [f"revision {revision}: {text}" for text in world.apply(changes)]
        for handle, addresses in leases.pop(revision, []):
            confirmed += 1
            wrong = [a for a in addresses if world.owner_of.get(a) != handle]
            if wrong:
                problems.append(f"revision {revision}: {handle} was told of {wrong}")
    problems += [f"revision {r}: was told of, but changed nothing" for r in leases]
    return world, problems, confirmed


def half_way(left: dict[str, str]) -> list[str]:
    """Affinities that are not confirmed or have no block, blocks without affinity."""
    found = []
    for key, text in left.items():
        if key.startswith("/calico/ipam/v2/host/"):
            node, _, block = key.removeprefix("/calico/ipam/v2/host/").partition("/")
            stored = json.loads(left.get(f"/calico/ipam/v2/assignment/{block}", "{}"))
            fine = json.loads(text)["state"] == "confirmed"
            if not fine or stored.get("affinity") != f"host:{node}":
                found.append(key)
        if key.startswith("/calico/ipam/v2/assignment/"):
            affinity = json.loads(text)["affinity"]
            block = key.removeprefix("/calico/ipam/v2/assignment/")
            if affinity is None or f"/calico/ipam/v2/host/{affinity[5:]}/{block}" not in left:
                found.append(key)
    return found


BLOCK = {
    "cidr": "10.0.0.0/30",
    "affinity": "host:a",
    "allocations": [0, None, None, None],
    "unallocated": [1, 2, 3],
    "attributes": [{"handle_id": "net.one", "secondary": {"node": "a"}}],
}


def wep(container: str, address: str) -> str:
    return json.dumps({"spec": {"containerID": container, "ipNetworks": [f"{address}/32"]}})


@pytest.mark.etcd
def test_the_checker_sees_a_planted_duplicate() -> None:
    key = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30"
    with EtcdServer() as server:
        server.put(key, json.dumps(BLOCK))
        server.put(f"{HANDLES}net.one", json.dumps({"block": {"10.0.0.0/30": 1}}))
        server.put(f"{ENDPOINTS}default/one", wep("one", "10.0.0.0"))
        since = server.revision()
        server.put(key, json.dumps(BLOCK).replace("net.one", "net.two"))
        server.put(f"{ENDPOINTS}default/two", wep("two", "10.0.0.0"))
        _, problems, _ = walk(server, {since: [("net.lost", ["10.0.0.0"])]})
        mine = [text for text in problems if int(text.split()[1].strip(":")) > since]
        assert any("10.0.0.0 is held by net.two" in text for text in mine), problems
        assert any("is shown by" in text for text in mine)
        assert any("net.lost was told of" in text for text in problems)
        server.put(key.replace("-30", "-31"), json.dumps({**BLOCK, "cidr": "10.0.0.0/31"}))
        _, problems, _ = walk(server, {})
        assert any("in another block" in text for text in problems)
