"""etcd is wiped or goes back to a snapshot: nothing is deleted, nothing is given out, nobody notices."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from felix_py.lab import cni_runtime, pods
from felix_py.lab.home import Home
from felix_py.lab.machine import Machine, layer
from tests.e2e import truth
from tests.support.lab import Lab, eventually
from tests.support.pinger import Count, Pinger

pytestmark = [pytest.mark.root, pytest.mark.lab]

NODES = ("node-a1", "node-a2", "node-b1", "node-b2")
DAEMONS = ("felix", "bgp", "cni")
TRY_AGAIN = 11
NOTICE_SECONDS = 10.0
GO_ON_SECONDS = 4.0
"""Daemons look once a second; the BGP agent gives the others two more after an accept."""
SETTLE_SECONDS = 20.0
WRITES_OF_OTHERS = 60
CLUSTER_KEY = "/calico/resources/v3/projectcalico.org/clusterinformations/default"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The default topology in a pool of 64 addresses and blocks of four: there is no room to hide."""
    directory = tmp_path_factory.mktemp("wentback")
    source = Path(__file__).parents[2] / "felix_py/lab/topologies/default.yaml"
    text = source.read_text().replace(
        "10.244.0.0/16, blockSize: 26", "10.244.0.0/26, blockSize: 30"
    )
    assert "10.244.0.0/26" in text
    topology = directory / "tight.yaml"
    topology.write_text(text)
    made = Lab(directory)
    made.up(str(topology))
    yield made
    made.down()


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    return Cluster(lab)


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
        netns = f"{self.home.name}-refused"
        subprocess.run(["ip", "netns", "add", netns], check=True)
        try:
            machine = Machine(self.home, node)
            network = cni_runtime.conflist(self.home, node)
            conf = {**network["plugins"][0], "name": network["name"]}
            conf["cniVersion"] = network["cniVersion"]
            container = secrets.token_hex(32)
            args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME=refused-{node}"
            call = cni_runtime.Attachment(container, f"/run/netns/{netns}", args=args)
            with pytest.raises(cni_runtime.CniFailed) as refused:
                cni_runtime.execute(machine, "ADD", call, conf)
            return refused.value.code
        finally:
            subprocess.run(["ip", "netns", "del", netns], check=True)

    def pending_dels(self, node: str) -> list[Path]:
        directory = layer(self.home.disk(node), "/var/lib") / "felix-py" / "pending-del"
        return list(directory.glob("*.json"))

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


@pytest.mark.timeout(400)
def test_a_restored_store_freezes_everything_until_its_data_returns(cluster: Cluster) -> None:
    gone = cluster.add("node-a2", "node-b2")
    doomed = cluster.add("node-b1")[0]
    snapshot = cluster.snapshot()
    after = cluster.add("node-a1", "node-a1", "node-b1")
    cluster.delete(*gone)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    with cluster.nothing_lost(after[0], after[2]):
        newer = cluster.swap(cluster.restored(snapshot))
        cluster.wait_frozen("went back")
        revision, links, routes = cluster.revision(), cluster.pod_links(), cluster.pod_routes()
        assert {node: cluster.refused_add(node) for node in NODES} == dict.fromkeys(
            NODES, TRY_AGAIN
        )
        for kind in DAEMONS:
            before = cluster.lab.pids("node-a1", kind)
            cluster.lab.felix_lab("fail", "process", "node-a1", kind)
            assert eventually(lambda k=kind, b=before: restarted(cluster, k, b), 20), kind  # type: ignore[misc]
        # Somebody else writes into the restored store: its revision grows past the one we knew.
        for _ in range(WRITES_OF_OTHERS):
            cluster.ctl("put", "/elsewhere", "x")
        time.sleep(3)
        cluster.wait_frozen("went back")
        assert cluster.refused_add("node-a1") == TRY_AGAIN
        assert (cluster.pod_links(), cluster.pod_routes()) == (links, routes)
        assert cluster.revision() == revision + WRITES_OF_OTHERS, "one of us wrote into it"
        cluster.delete(doomed)
        assert len(cluster.pending_dels("node-b1")) == 1
        assert cluster.revision() == revision + WRITES_OF_OTHERS
        restored = cluster.swap(newer)
        assert restored.exists()
        assert eventually(lambda: cluster.all_are("ok"), SETTLE_SECONDS), cluster.but("ok")
        assert eventually(lambda: not cluster.pending_dels("node-b1"), SETTLE_SECONDS)
        made = cluster.add(*NODES)
        assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


def restarted(cluster: Cluster, kind: str, before: list[int]) -> bool:
    """A daemon of node-a1 runs again, under another id, and says that it is frozen."""
    now = cluster.lab.pids("node-a1", kind)
    file = Path(cluster.names["nodes"][0]["runDir"], "status", f"{kind}.json")
    said = json.loads(file.read_text())
    return (
        bool(now)
        and not set(now) & set(before)
        and said["pid"] in now
        and bool(said["store"]["frozen"])
    )


@pytest.mark.timeout(400)
def test_a_restore_agrees_with_what_lives_and_gives_no_address_twice(cluster: Cluster) -> None:
    gone = cluster.add("node-a2", "node-b2")
    snapshot = cluster.snapshot()
    after = cluster.add("node-a1", "node-a1", "node-a1", "node-b1")
    cluster.delete(*gone)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    with cluster.nothing_lost(*after):
        cluster.swap(cluster.restored(snapshot))
        cluster.wait_frozen("went back")
        links, routes, inside = cluster.pod_links(), cluster.pod_routes(), cluster.inside()
        assert after[0].address in check(cluster, "node-a1", "unregistered pod")
        assert cluster.disagreements(), "the snapshot knows pods that are gone"
        said = cluster.felixctl("node-b2", "ipam", "recover", "--yes")
        assert "2 endpoints and" in said
        assert "CONFLICT" not in said
        assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
        made = cluster.add(
            "node-a1", "node-b1", *(["node-a1", "node-a2", "node-b1", "node-b2"] * 3)
        )
        assert not {pod.address for pod in made} & set(inside.values())
        assert cluster.pod_links() >= links
        assert cluster.pod_routes() >= routes
        assert cluster.inside().items() >= inside.items()
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    assert check(cluster, "node-a1", "") == ""
    assert cluster.ctl("get", "--prefix", "--keys-only", "/felix-py/v1/recovery").strip() == ""
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


@pytest.mark.timeout(400)
def test_a_node_that_does_not_answer_is_named_and_a_restore_is_not_accepted_before(
    cluster: Cluster,
) -> None:
    """Then the old way: accepted as it is, and what the snapshot holds of pods that are gone is named."""
    gone = cluster.add("node-a2")
    snapshot = cluster.snapshot()
    after = cluster.add("node-a1", "node-b1")
    cluster.delete(*gone)
    with cluster.nothing_lost(*after):
        cluster.swap(cluster.restored(snapshot))
        cluster.wait_frozen("went back")
        cluster.lab.felix_lab("fail", "process", "node-b2", "cni", "--hold")
        told = cluster.lab.felix_lab(
            *("exec", "node-a1", "--", "felixctl", "ipam", "recover", "--yes", "--wait", "8"),
            check=False,
        )
        assert told.returncode != 0
        assert "node-b2 did not answer" in told.stderr
        cluster.lab.felix_lab("heal")
        assert eventually(lambda: cluster.answers("node-b2", "cni"), 30), json.dumps(
            cluster.said("node-b2")["daemons"]["cni"]
        )
        cluster.wait_frozen("went back")
        cluster.felixctl("node-b2", "datastore", "accept")
        assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
    for pod in gone:
        assert pod.address in check(cluster, pod.node, "endpoint without route")
        attachment = pods.attachment(cluster.home, pod.name, pod.container_id)
        cni_runtime.delete(Machine(cluster.home, pod.node), attachment)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    cluster.delete(*after)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


def check(cluster: Cluster, node: str, problem: str) -> str:
    """What `ipam check` on a node says of a kind of problem, as one text."""
    command = ["exec", node, "--", "felixctl", "ipam", "check", "-o", "json"]
    told = json.loads(cluster.lab.felix_lab(*command, check=False).stdout)
    found = [each for each in told["findings"] if problem in each["problem"]]
    return "\n".join(f"{each['what']} {each['detail']}" for each in found)


@pytest.mark.timeout(400)
def test_a_wiped_store_freezes_everything_and_is_filled_again_by_who_lives(
    cluster: Cluster,
) -> None:
    after = cluster.add("node-a1", "node-a1", "node-b1")
    file = str(cluster.lab.directory / "kept.backup")
    assert "keys at revision" in cluster.felixctl("node-a1", "datastore", "backup", file)
    later = cluster.add("node-b2")
    after += later
    with cluster.nothing_lost(*after):
        cluster.swap(None)
        cluster.wait_frozen("absent")
        links, routes, inside = cluster.pod_links(), cluster.pod_routes(), cluster.inside()
        assert {node: cluster.refused_add(node) for node in NODES} == dict.fromkeys(
            NODES, TRY_AGAIN
        )
        assert cluster.revision() == 1, "one of us wrote into it"
        cluster.felixctl("node-a1", "datastore", "restore", file)
        assert cluster.ctl("get", CLUSTER_KEY)
        time.sleep(2)
        cluster.wait_frozen("went back")
        said = cluster.felixctl("node-a1", "ipam", "recover", "--yes")
        assert all(f"{pod.address}" in said for pod in later), "registered again"
        assert eventually(lambda: cluster.all_are("ok"), GO_ON_SECONDS), cluster.but("ok")
        made = cluster.add(*NODES)
        assert not {pod.address for pod in made} & set(inside.values())
        assert cluster.pod_links() >= links
        assert cluster.pod_routes() >= routes
        assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()
    cluster.delete(*after, *made)
    assert eventually(cluster.agree, SETTLE_SECONDS), cluster.disagreements()


def test_the_search_for_doubles_finds_one_that_is_planted(cluster: Cluster) -> None:
    """The control of what the other tests rely on."""
    one, other = pods.every(cluster.home)[:2]
    assert cluster.doubles() == []
    namespace = ("ip", "-n", other.netns, "addr")
    subprocess.run([*namespace, "del", f"{other.address}/32", "dev", "eth0"], check=True)
    subprocess.run([*namespace, "add", f"{one.address}/32", "dev", "eth0"], check=True)
    try:
        told = cluster.doubles()
    finally:
        subprocess.run([*namespace, "add", f"{other.address}/32", "dev", "eth0"], check=True)
        subprocess.run([*namespace, "del", f"{one.address}/32", "dev", "eth0"], check=True)
    assert one.address in told
    assert any(text.startswith(f"{other.name} has {one.address}") for text in told)
