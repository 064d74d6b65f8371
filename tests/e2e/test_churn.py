"""Pods come and go, sixteen at a time, while the CNI servers are killed: nothing is lost or doubled."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from felix_py.lab.home import Home
from felix_py.lab.machine import Machine
from tests.e2e import truth
from tests.e2e.truth import Pod
from tests.support.lab import Lab, eventually, in_netns
from tests.support.runtime_harness import Killer, Runtime

pytestmark = [pytest.mark.root, pytest.mark.lab]

PODS = 200
STAY = 16
AT_ONCE = 16
KILLS = 24
LEAST_KILLS = 20
SETTLE_SECONDS = 20.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A default lab of its own."""
    made = Lab(tmp_path_factory.mktemp("churn"))
    made.up("default")
    yield made
    made.down()


@pytest.fixture(scope="module")
def home(lab: Lab) -> Home:
    """The lab's own directory, for starting plugins without a command in between."""
    return Home(lab.name, lab.directory)


class Compared:
    """The lab's etcd, kernels and pods against each other, without product code."""

    def __init__(self, lab: Lab, runtime: Runtime | None = None) -> None:
        self._names = lab.status()
        self._runtime = runtime
        endpoint = self._names["etcd"]["endpoint"]
        enter = ["nsenter", f"--net=/run/netns/{self._names['etcd']['netns']}", "--", "env"]
        self.etcdctl = [*enter, "ETCDCTL_API=3", "etcdctl", "--endpoints", endpoint]

    def disagreements(self) -> list[str]:
        """Sentences; empty when everything agrees."""
        nodes = {node["name"]: node["netns"] for node in self._names["nodes"]}
        pods = [
            Pod(pod["name"], nodes[pod["node"]], pod["netns"], pod["container_id"])
            for pod in self._names["pods"]
        ]
        if self._runtime is not None:
            pods += [pod for pod, _ in self._runtime.living.values()]
        return truth.disagreements(self.etcdctl, nodes, pods)

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Write a key as an operator's hand would."""
        subprocess.run(
            [*self.etcdctl, "put", key, "--", json.dumps(value)],
            check=True,
            capture_output=True,
            timeout=30,
        )

    def delete(self, key: str) -> None:
        """Delete a key."""
        subprocess.run([*self.etcdctl, "del", key], check=True, capture_output=True, timeout=30)


def churn(runtime: Runtime, nodes: list[str]) -> None:
    """PODS + STAY ADDs and PODS DELs; a pod is removed when STAY others came after it."""
    with ThreadPoolExecutor(AT_ONCE) as workers:
        made: list[Future[None]] = []
        removed: list[Future[None]] = []
        for number in range(PODS + STAY):
            made.append(workers.submit(runtime.create, nodes[number % len(nodes)], number))
            if number >= STAY:
                gone = number - STAY
                removed.append(workers.submit(_remove_when_made, runtime, made[gone], gone))
        for job in (*made, *removed):
            job.result(timeout=300)


def _remove_when_made(runtime: Runtime, made: Future[None], number: int) -> None:
    made.result(timeout=120)
    runtime.remove(number)


@pytest.mark.timeout(400)
def test_two_hundred_adds_and_dels_under_kills_leave_everything_in_agreement(
    lab: Lab, home: Home
) -> None:
    nodes = [node["name"] for node in lab.status()["nodes"]]
    runtime = Runtime(home)
    killer = Killer(runtime, home, nodes, KILLS)
    killer.thread.start()
    try:
        churn(runtime, nodes)
    finally:
        killer.stop.set()
        killer.thread.join(30)
    assert len(killer.landed) >= LEAST_KILLS, killer.landed
    assert len({pid for _, pid in killer.landed}) == len(killer.landed)
    compared = Compared(lab, runtime)
    assert len(runtime.living) == STAY
    assert eventually(lambda: not compared.disagreements(), SETTLE_SECONDS), (
        compared.disagreements()
    )
    for number in sorted(int(name.removeprefix("churn-")) for name in list(runtime.living)):
        runtime.remove(number)
    assert eventually(lambda: not compared.disagreements(), SETTLE_SECONDS), (
        compared.disagreements()
    )


def ipam_check(lab: Lab, node: str) -> str:
    """What `felixctl ipam check` says on a node, whatever its exit code."""
    return lab.felix_lab("exec", node, "--", "felixctl", "ipam", "check", check=False).stdout


class Planted:
    """Four errors planted by hand, and the words by which each must be found."""

    def __init__(self, compared: Compared, lab: Lab) -> None:
        self._compared = compared
        self._lab = lab
        self.pod = lab.pods("node-a1")[0]
        self.stray = "10.244.255.250"
        self.leaked_block: tuple[str, dict[str, Any]] | None = None
        self.leaked = ""

    def plant(self) -> None:
        """A leak, a duplicate, a stray route, an orphan endpoint."""
        self._leak()
        endpoints = "/calico/resources/v3/projectcalico.org/workloadendpoints/lab/"
        found = self._lab.etcd(endpoints)
        key, document = next(
            (k, v) for k, v in found.items() if v["spec"]["pod"] == self.pod["name"]
        )
        self.duplicate_key = self._copy(key, document, "duplicate", document["spec"]["ipNetworks"])
        self.orphan_key = self._copy(key, document, "orphan", ["10.244.255.251/32"])
        in_netns(
            self.pod["netns"].rsplit("-pod-", 1)[0] + "-node-a1",
            *("ip", "route", "add", f"{self.stray}/32", "dev", self.pod["interface"]),
            *("proto", "80", "metric", "1024"),
        )

    def _leak(self) -> None:
        key, block = next(iter(self._lab.etcd("/calico/ipam/v2/assignment/ipv4/block/").items()))
        self.leaked_block = (key, json.loads(json.dumps(block)))
        ordinal = block["unallocated"].pop()
        block["allocations"][ordinal] = len(block["attributes"])
        handle = f"felix-py.{secrets.token_hex(32)}"
        block["attributes"].append({"handle_id": handle, "secondary": {"node": "node-a1"}})
        self.handle_key = f"/calico/ipam/v2/handle/{handle}"
        base, _, _ = block["cidr"].partition("/")
        head, _, last = base.rpartition(".")
        self.leaked = f"{head}.{int(last) + ordinal}"
        self._compared.put(key, block)
        self._compared.put(self.handle_key, {"block": {block["cidr"]: 1}, "deleted": False})

    def _copy(self, key: str, document: dict[str, Any], pod: str, networks: list[str]) -> str:
        spec = {**document["spec"], "pod": pod, "ipNetworks": networks, "node": "node-b1"}
        spec |= {
            "containerID": secrets.token_hex(32),
            "interfaceName": f"cali{secrets.token_hex(5)}",
        }
        name = f"node--b1-k8s-{pod}-eth0"
        fresh = {**document, "metadata": {**document["metadata"], "name": name}, "spec": spec}
        path = key.rsplit("/", 1)[0] + f"/{name}"
        self._compared.put(path, fresh)
        return path

    def remove(self) -> None:
        """Take all of it back."""
        assert self.leaked_block is not None
        self._compared.put(*self.leaked_block)
        for key in (self.handle_key, self.duplicate_key, self.orphan_key):
            self._compared.delete(key)


@pytest.mark.timeout(200)
def test_the_comparison_and_ipam_check_both_find_what_is_planted(lab: Lab, home: Home) -> None:
    compared = Compared(lab)
    assert compared.disagreements() == []
    planted = Planted(compared, lab)
    # felix would put the stray route right within a second: hold it down while we look.
    lab.felix_lab("fail", "process", "node-a1", "felix", "--hold")
    try:
        planted.plant()
        told = "\n".join(compared.disagreements())
        address = planted.pod["address"]
        assert f"leak: {planted.leaked}" in told
        assert f"address {address} is in 2 endpoints" in told
        assert f"stray route {planted.stray}" in told
        assert "orphan endpoint lab/node--b1-k8s-orphan-eth0" in told
        checked = ipam_check(lab, "node-a1")
        for sign in (planted.leaked, address, planted.stray, "orphan"):
            assert sign in checked, f"{sign} is not named:\n{checked}"
    finally:
        planted.remove()
        lab.felix_lab("heal")
    assert eventually(lambda: not compared.disagreements(), SETTLE_SECONDS), (
        compared.disagreements()
    )
    assert Machine(home, "node-a1").pids().get("felix")
