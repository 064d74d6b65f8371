"""Anything may die: pings in both directions go on while every process is killed, three times each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import Lab, eventually, in_netns
from tests.support.pinger import Count, Pinger

pytestmark = [pytest.mark.root, pytest.mark.lab]

KINDS = ("felix", "bgp", "relay", "exabgp", "launcher", "cni")
ROUNDS = 3
VICTIMS = ("node-a1", "node-b1", "node-a2")
"""Where each round kills; ping streams start and end on all of them."""
ELSEWHERE = {"node-a1": "node-b2", "node-b1": "node-a2", "node-a2": "node-b2"}
BETWEEN_KILLS_SECONDS = 3.0
AFTER_LAST_KILL_SECONDS = 130.0
"""Past every restart time (120 s): routes that were only kept stale would be gone by then."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The default topology with blocks of four, so that a few pods make a node claim a new block."""
    directory = tmp_path_factory.mktemp("kills")
    made = Lab(directory)
    topology = Path(directory, "small-blocks.yaml")
    topology.write_text(small_blocks())
    made.up(str(topology))
    yield made
    made.down()


def small_blocks() -> str:
    """The default topology with /30 blocks."""
    source = Path(__file__).parents[2] / "felix_py/lab/topologies/default.yaml"
    text = source.read_text().replace("blockSize: 26", "blockSize: 30")
    assert "blockSize: 30" in text
    return text


def streams(names: dict[str, Any]) -> list[tuple[str, str]]:
    """(namespace, target): both directions between the racks, and each rack to both outsides."""
    pods = {pod["node"]: pod for pod in names["pods"]}
    pairs = []
    for one, other in itertools.combinations(("node-a1", "node-a2", "node-b1", "node-b2"), 2):
        pairs += [(pods[one]["netns"], pods[other]["address"])]
        pairs += [(pods[other]["netns"], pods[one]["address"])]
    outside = [tor["outside"] for tor in names["tors"]]
    return pairs + [(pods[node]["netns"], a) for node in ("node-a1", "node-b1") for a in outside]


def replaced(lab: Lab, node: str, kind: str, before: list[int]) -> bool:
    """The process runs again under another id, and the old one is gone."""
    now = lab.pids(node, kind)
    gone = all(not Path(f"/proc/{pid}").exists() for pid in before)
    return gone and bool(now) and not set(now) & set(before)


def add_pods_until_a_new_block(lab: Lab, node: str) -> list[dict[str, Any]]:
    """Pods on a node until it has claimed one more block; the pods."""
    prefix = f"/calico/ipam/v2/host/{node}/ipv4/block/"
    blocks = len(lab.etcd(prefix))
    made: list[dict[str, Any]] = []
    while len(lab.etcd(prefix)) == blocks:
        assert len(made) < 6, f"{node} claims no block"
        name = lab.felix_lab("pod", "add", node).stdout.split()[0]
        made += [pod for pod in lab.pods(node) if pod["name"] == name]
    return made


def reaches(pod: dict[str, Any], target: str) -> bool:
    """One ping that comes back."""
    done = in_netns(pod["netns"], "ping", "-c", "1", "-W", "1", target, check=False)
    return done.returncode == 0


def kill_and_work_meanwhile(lab: Lab, node: str, kind: str) -> None:
    """Kill; while it is down another node claims and announces a block; both work afterwards."""
    before = lab.pids(node, kind)
    assert before, f"{kind} does not run on {node}"
    lab.felix_lab("fail", "process", node, kind)
    made = add_pods_until_a_new_block(lab, ELSEWHERE[node])
    assert eventually(lambda: replaced(lab, node, kind, before), 15), (
        f"{kind} of {node} is not back"
    )
    here = lab.pods(node)[0]
    for pod in made:
        target = pod["address"]
        assert eventually(partial(reaches, here, target), 20), f"{here} -> {pod}"
    mine = lab.felix_lab("pod", "add", node).stdout.split()[0]
    fresh = next(pod for pod in lab.pods(node) if pod["name"] == mine)
    assert eventually(partial(reaches, fresh, made[-1]["address"]), 20), f"{fresh} -> {made[-1]}"
    for pod in (*made, fresh):
        lab.felix_lab("pod", "del", pod["name"])


def counted(pingers: list[Pinger]) -> list[Count]:
    """Stop all streams."""
    return [pinger.stop() for pinger in pingers]


@pytest.mark.timeout(900)
def test_no_ping_is_lost_while_everything_is_killed_three_times(lab: Lab) -> None:
    with ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(*each)) for each in streams(lab.status())]
        time.sleep(2)
        for node, kind in itertools.product(VICTIMS[:ROUNDS], KINDS):
            kill_and_work_meanwhile(lab, node, kind)
            time.sleep(BETWEEN_KILLS_SECONDS)
        etcd = lab.pids("etcd", "etcd")
        lab.felix_lab("fail", "process", "etcd", "etcd")
        assert eventually(lambda: replaced(lab, "etcd", "etcd", etcd), 15)
        time.sleep(AFTER_LAST_KILL_SECONDS)
        counts = counted(pingers)
    lost = [str(count) for count in counts if count.missing or count.duplicates]
    assert not lost, "\n".join(lost)
    assert all(count.sent > 100 * AFTER_LAST_KILL_SECONDS * 0.8 for count in counts)


NO_GRACEFUL_RESTART = """
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: true, asNumber: 64512, nodeMeshMaxRestartTime: 0s}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor-a}
spec: {nodeSelector: "rack == 'a'", peerIP: 10.10.1.1, asNumber: 65001, maxRestartTime: 0s}
"""


def offers_graceful_restart(lab: Lab, node: str) -> bool:
    """Whether the ToR's BIRD hears the capability from a node."""
    told = lab.exec("tor-a", "birdc", "-r", "show", "protocols", "all", node.replace("-", "_"))
    theirs = told.partition("Neighbor capabilities")[2].partition("Session:")[0]
    return "Graceful restart" in theirs


@pytest.mark.timeout(240)
def test_without_graceful_restart_the_same_kill_loses_pings(lab: Lab, tmp_path: Path) -> None:
    """The control: the count above can fail, and graceful restart is what keeps it from failing."""
    wanted = tmp_path / "no-graceful-restart.yaml"
    wanted.write_text(NO_GRACEFUL_RESTART)
    assert offers_graceful_restart(lab, "node-a1")
    lab.exec("node-a1", "felixctl", "apply", "-f", str(wanted))
    assert eventually(lambda: not offers_graceful_restart(lab, "node-a1"), 30)
    names = lab.status()
    source = lab.pods("node-a1")[0]["netns"]
    lab.felix_lab("prove")
    before = lab.pids("node-a1", "exabgp")
    with Pinger(source, names["tors"][1]["outside"]) as pinger:
        time.sleep(2)
        lab.felix_lab("fail", "process", "node-a1", "exabgp")
        assert eventually(lambda: replaced(lab, "node-a1", "exabgp", before), 15)
        time.sleep(5)
        count = pinger.stop()
    assert count.missing, str(count)
