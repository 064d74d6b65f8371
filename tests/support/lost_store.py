"""A lab whose etcd an operator with a snapshot wipes, restores and brings back."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from felix_py.lab import cni_runtime, pods
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine, layer
from felix_py.lab.node import CONFIG
from tests.e2e import truth
from tests.functional.ipam.history_check import BLOCKS, MARK, Change, by_revision
from tests.support.lab import Lab, eventually
from tests.support.pinger import Count, Pinger

NODES = ("node-a1", "node-a2", "node-b1", "node-b2")
CLUSTER_KEY = "/calico/resources/v3/projectcalico.org/clusterinformations/default"
RECOVERY_KEYS = "/felix-py/v1/recovery/"
DAEMONS = ("felix", "bgp", "cni")
TRY_AGAIN = 11
NOTICE_SECONDS = 10.0


class Cluster:
    """The lab's etcd as an operator with a snapshot has it, and everybody's view of the addresses."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.home = Home(lab.name, lab.directory)
        self.names = lab.status()
        self.disk = self.home.disk("etcd")
        endpoint = self.names["etcd"]["endpoint"]
        enter = ["nsenter", f"--net=/run/netns/{self.names['etcd']['netns']}", "--", "env"]
        self.etcdctl = [*enter, "ETCDCTL_API=3", "etcdctl", "--endpoints", endpoint]

    # etcd

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        return subprocess.run(
            [*self.etcdctl, *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
            input=stdin,
        ).stdout

    def snapshot(self) -> Path:
        file = self.disk / f"snapshot-{secrets.token_hex(3)}"
        self.ctl("snapshot", "save", str(file))
        return file

    def restored(self, snapshot: Path) -> Path:
        """A fresh data directory made from a snapshot."""
        fresh = self.disk / f"restored-{secrets.token_hex(3)}"
        peers = "http://127.0.0.1:2380"
        subprocess.run(
            [
                *("env", "ETCDCTL_API=3", "etcdctl", "snapshot", "restore", str(snapshot)),
                *("--name", "lab", "--initial-cluster", f"lab={peers}"),
                *("--initial-advertise-peer-urls", peers, "--data-dir", str(fresh)),
            ],
            check=True,
            capture_output=True,
            timeout=30,
        )
        return fresh

    def swap(self, fresh: Path | None) -> Path:
        """Stop etcd, put another data directory (None: none) in place of its own, start it; the old one."""
        self.lab.felix_lab("fail", "process", "etcd", "etcd", "--hold")
        aside = self.disk / f"aside-{secrets.token_hex(3)}"
        (self.disk / "data").rename(aside)
        if fresh is not None:
            fresh.rename(self.disk / "data")
        self.lab.felix_lab("heal")
        assert eventually(self._answers, 15)
        return aside

    def _answers(self) -> bool:
        asked = [*self.etcdctl, "endpoint", "health"]
        return subprocess.run(asked, check=False, capture_output=True, timeout=30).returncode == 0

    def revision(self) -> int:
        """Every write of anybody raises it."""
        answer = json.loads(self.ctl("get", "/nothing", "-w", "json"))
        return int(answer["header"]["revision"])

    # daemons

    def said(self, node: str) -> dict[str, Any]:
        command = ["exec", node, "--", "felixctl", "status", "-o", "json"]
        told: dict[str, Any] = json.loads(self.lab.felix_lab(*command, check=False).stdout)
        return told

    def states(self) -> dict[tuple[str, str], str]:
        """(node, daemon) -> its state, straight from the status files."""
        found = {}
        for node in self.names["nodes"]:
            for daemon in DAEMONS:
                file = Path(node["runDir"], "status", f"{daemon}.json")
                store = json.loads(file.read_text())["store"]
                state = "frozen" if store["frozen"] else "ok"
                found[node["name"], daemon] = state if store["connected"] else "away"
        return found

    def answers(self, node: str, daemon: str) -> bool:
        """Whether a daemon that was started again says that it holds still."""
        told = self.said(node)["daemons"][daemon]
        return bool(told["state"] == "frozen") and told["status"]["pid"] in self.lab.pids(
            node, daemon
        )

    def all_are(self, state: str) -> bool:
        return set(self.states().values()) == {state}

    def but(self, state: str) -> dict[tuple[str, str], str]:
        """Those that are not in this state."""
        return {who: found for who, found in self.states().items() if found != state}

    def wait_frozen(self, why: str) -> None:
        """Everybody holds still and says why."""
        assert eventually(lambda: self.all_are("frozen"), NOTICE_SECONDS), self.but("frozen")
        for node in NODES:
            told = self.said(node)["daemons"]
            for daemon in DAEMONS:
                assert told[daemon]["state"] == "frozen", (node, daemon)
                assert why in told[daemon]["status"]["store"]["frozen"], (
                    node,
                    daemon,
                    told[daemon],
                )

    def felixctl(self, node: str, *arguments: str) -> str:
        return self.lab.exec(node, "felixctl", *arguments)

    def recovery(self, mode: str) -> None:
        """Set `cni.recovery` on every node and start its cni server again."""
        before = {node: self.lab.pids(node, "cni") for node in NODES}
        for node in NODES:
            file = layer(self.disk_of(node), "/etc") / CONFIG
            settings = yaml.safe_load(file.read_text())
            if settings["cni"].get("recovery") != mode:
                settings["cni"]["recovery"] = mode
                file.write_text(yaml.safe_dump(settings, sort_keys=False))
                self.lab.felix_lab("fail", "process", node, "cni")
                assert eventually(lambda n=node: self._again(n, before[n]), 30)  # type: ignore[misc]

    def _again(self, node: str, before: list[int]) -> bool:
        """Another cni server runs there and serves."""
        pids = self.lab.pids(node, "cni")
        told = self.said(node)["daemons"]["cni"]
        return bool(set(pids) - set(before)) and (
            told["state"] == "ok" and told["status"]["pid"] in pids
        )

    def disk_of(self, node: str) -> Path:
        return self.home.disk(node)

    def cluster_information(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ctl("get", "--print-value-only", CLUSTER_KEY))
        return found

    def closed(self) -> bool:
        """Whether a node closed the gate."""
        ready = self.cluster_information()["spec"]["datastoreReady"]
        return not ready and bool(self.ctl("get", "--keys-only", f"{RECOVERY_KEYS}gate").strip())

    def leader(self) -> str:
        """The node that leads a recovery; empty: none does."""
        told = self.ctl("get", "--print-value-only", f"{RECOVERY_KEYS}question").strip()
        return str(json.loads(told)["by"]) if told else ""

    def recovery_keys(self) -> str:
        return self.ctl("get", "--prefix", "--keys-only", RECOVERY_KEYS).strip()

    def waits_for(self, node: str) -> str:
        """The sentence by which a node's status says what a recovery waits for."""
        return str(self.said(node)["daemons"]["cni"]["status"]["recovery"]["waitsFor"])

    def given_away(self, living: dict[str, str], since: int) -> list[str]:
        """Every revision after one: who else was given an address (-> container) of a pod that lives."""
        mark = f"{MARK}/{secrets.token_hex(4)}"
        self.ctl("put", mark, "{}")
        command = [*self.etcdctl, "watch", "--rev=1", "-w", "json", "--prefix", "/calico/"]
        owners: dict[str, str] = {}
        found = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            try:
                for revision, changes in by_revision(watch, mark):
                    before, owners = owners, _owners_after(owners, changes)
                    found += [
                        f"{address} given to {handle} at revision {revision}"
                        for address, handle in owners.items()
                        if revision > since
                        and before.get(address) != handle
                        and address in living
                        and not handle.endswith(living[address])
                    ]
            finally:
                watch.kill()
        self.ctl("del", mark)
        return found

    # pods

    def add(self, *nodes: str) -> list[pods.Pod]:
        made = []
        for node in nodes:
            made.append(pods.add(self.home, node, f"wb-{secrets.token_hex(3)}"))
            assert self.doubles() == []
        return made

    def delete(self, *gone: pods.Pod) -> None:
        for pod in gone:
            pods.delete(self.home, pod.name)

    def inside(self) -> dict[str, str]:
        """Pod -> the address that it really has."""
        found = {}
        for pod in pods.every(self.home):
            [link] = truth.run_json(
                "ip", "-n", pod.netns, "-j", "-4", "addr", "show", "dev", "eth0"
            )
            [found[pod.name]] = [info["local"] for info in link["addr_info"]]
        return found

    def doubles(self) -> list[str]:
        """Addresses that two pods have, or that etcd gives out twice or to another container."""
        inside = self.inside()
        wrong = [a for a, count in Counter(inside.values()).items() if count > 1]
        etcd = truth.read_etcd(self.etcdctl)
        owners = dict(etcd.allocations)
        wrong += [a for a, n in Counter(a for a, _ in etcd.allocations).items() if n > 1]
        for pod in pods.every(self.home):
            handle = owners.get(inside[pod.name], pod.container_id)
            if not handle.endswith(pod.container_id):
                wrong.append(f"{pod.name} has {inside[pod.name]}, which etcd gives to {handle}")
        return wrong

    def disagreements(self) -> list[str]:
        """Etcd, kernels and pods compared."""
        nodes = {node["name"]: node["netns"] for node in self.names["nodes"]}
        living = [
            truth.Pod(pod.name, self.home.netns(pod.node), pod.netns, pod.container_id)
            for pod in pods.every(self.home)
        ]
        return truth.disagreements(self.etcdctl, nodes, living)

    def agree(self) -> bool:
        return not self.disagreements()

    def pod_links(self) -> set[tuple[str, int, str]]:
        found = set()
        for node in self.names["nodes"]:
            for link in truth.run_json("ip", "-n", node["netns"], "-j", "link"):
                if link["ifname"].startswith("cali"):
                    found.add((node["name"], link["ifindex"], link["ifname"]))
        return found

    def pod_routes(self) -> set[tuple[str, str, str]]:
        return {
            (node["name"], route["dst"], route["dev"])
            for node in self.names["nodes"]
            for route in truth.run_json("ip", "-n", node["netns"], "-j", "route")
            if route.get("dev", "").startswith("cali")
        }

    def refused_add(self, node: str) -> int:
        """The code of one ADD in a namespace of its own; DEL, as a runtime does, after it."""
        with self._attachments(node) as call, pytest.raises(cni_runtime.CniFailed) as refused:
            call("ADD", secrets.token_hex(32))
        return refused.value.code

    def churn(self, times: int) -> None:
        """So many attachments come and go on each node."""

        def come_and_go(node: str) -> None:
            with self._attachments(node) as call:
                for _ in range(times):
                    container = secrets.token_hex(32)
                    call("ADD", container)
                    call("DEL", container)

        with ThreadPoolExecutor(len(NODES)) as workers:
            list(workers.map(come_and_go, NODES))

    @contextmanager
    def _attachments(self, node: str) -> Iterator[Callable[[str, str], object]]:
        """(command, container) of the shim, in one namespace."""
        name = f"passing-{secrets.token_hex(2)}"
        netns = f"{self.home.name}-{name}"
        subprocess.run(["ip", "netns", "add", netns], check=True)
        machine = Machine(self.home, node)
        network = cni_runtime.conflist(self.home, node)
        conf = {**network["plugins"][0], "name": network["name"]}
        conf["cniVersion"] = network["cniVersion"]
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME={name}"

        def call(command: str, container: str) -> object:
            attachment = cni_runtime.Attachment(container, f"/run/netns/{netns}", args=args)
            return cni_runtime.execute(machine, command, attachment, conf)

        try:
            yield call
        finally:
            subprocess.run(["ip", "netns", "del", netns], check=True)

    @contextmanager
    def starting(self, each: int) -> Iterator[list[pods.Pod]]:
        """Meanwhile somebody starts so many pods on each node, again and again when it is refused."""
        made: list[pods.Pod] = []
        stop = threading.Event()

        def start(node: str) -> None:
            count = 0
            while count < each and not stop.wait(0.3):
                try:
                    made.append(pods.add(self.home, node, f"wb-{secrets.token_hex(3)}"))
                    count += 1
                except cni_runtime.CniFailed as error:
                    if error.code != TRY_AGAIN:
                        raise

        with ThreadPoolExecutor(len(NODES)) as workers:
            jobs = [workers.submit(start, node) for node in NODES]
            try:
                yield made
                for job in jobs:
                    job.result(60)
            finally:
                stop.set()

    def pending_dels(self, node: str) -> list[Path]:
        directory = layer(self.home.disk(node), "/var/lib") / "felix-py" / "pending-del"
        return list(directory.glob("*.json"))

    def containers(self) -> dict[str, str]:
        """Address -> container of every pod that lives, from the pods themselves."""
        inside = self.inside()
        return {inside[pod.name]: pod.container_id for pod in pods.every(self.home)}

    @contextmanager
    def mute(self, node: str) -> Iterator[None]:
        """Its cni server hangs meanwhile."""
        pids = self.lab.pids(node, "cni")
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    # pings

    @contextmanager
    def nothing_lost(self, *more: pods.Pod) -> Iterator[None]:
        """No ping of any stream is lost meanwhile: across the racks both ways, to both outsides, and
        the same for the given pods."""
        by_node = {pod.node: pod for pod in reversed(pods.every(self.home)) if pod not in more}
        a1, a2, b1, b2 = (by_node[node] for node in NODES)
        pairs = [(a1, b1), (b1, a1), (a2, b2), (b2, a2)]
        pairs += [pair for pod in more for pair in ((pod, b2), (a2, pod))]
        streams = [(one.netns, other.address) for one, other in pairs if one != other]
        streams += [(p.netns, tor["outside"]) for p in (a1, b1) for tor in self.names["tors"]]
        with ExitStack() as stack:
            pingers = [stack.enter_context(Pinger(*each)) for each in streams]
            time.sleep(1.0)
            yield
            time.sleep(1.0)
            counts: list[Count] = [pinger.stop() for pinger in pingers]
        lost = [str(count) for count in counts if count.missing or count.duplicates]
        assert not lost, "\n".join(lost)
        assert all(count.sent > 100 for count in counts)


def _owners_after(owners: dict[str, str], changes: list[Change]) -> dict[str, str]:
    """Address -> handle, when these blocks have changed."""
    after = dict(owners)
    for key, block in changes:
        if not key.startswith(BLOCKS):
            continue
        cidr = ip_network(key.rpartition("/")[2].replace("-", "/"))
        for address in [each for each in after if ip_address(each) in cidr]:
            del after[address]
        for ordinal, index in enumerate(block["allocations"] if block else ()):
            if index is not None:
                handle = block["attributes"][index]["handle_id"]
                after[str(cidr.network_address + ordinal)] = handle
    return after
