"""Anything may die: pings in both directions go on while every process is killed, three times each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kills import (
    AFTER_LAST_KILL_SECONDS,
    BETWEEN_KILLS_SECONDS,
    KINDS,
    Hands,
    counted,
    kill_and_work_meanwhile,
)
from tests.support.lab import Lab, eventually
from tests.support.pinger import Pinger

pytestmark = [pytest.mark.root, pytest.mark.lab]

ROUNDS = 3
VICTIMS = ("node-a1", "node-b1", "node-a2")
"""Where each round kills; ping streams start and end on all of them."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The default topology with blocks of two, so that a pod or two make a node claim a new block."""
    directory = tmp_path_factory.mktemp("kills")
    made = Lab(directory)
    topology = Path(directory, "small-blocks.yaml")
    topology.write_text(small_blocks())
    made.up(str(topology))
    yield made
    made.down()


def small_blocks() -> str:
    """The default topology with /31 blocks."""
    source = Path(__file__).parents[2] / "felix_py/lab/topologies/default.yaml"
    text = source.read_text().replace("blockSize: 26", "blockSize: 31")
    assert "blockSize: 31" in text
    return text


def streams(names: dict[str, Any]) -> list[tuple[str, str]]:
    """(namespace, target): both directions between the racks, and each rack to both outsides."""
    one_each = {pod["node"]: pod for pod in names["pods"]}
    pairs = []
    for one, other in itertools.combinations(("node-a1", "node-a2", "node-b1", "node-b2"), 2):
        pairs += [(one_each[one]["netns"], one_each[other]["address"])]
        pairs += [(one_each[other]["netns"], one_each[one]["address"])]
    outside = [tor["outside"] for tor in names["tors"]]
    return pairs + [
        (one_each[node]["netns"], a) for node in ("node-a1", "node-b1") for a in outside
    ]


@pytest.mark.timeout(900)
def test_no_ping_is_lost_while_everything_is_killed_three_times(lab: Lab) -> None:
    with ExitStack() as stack:
        pingers = [stack.enter_context(Pinger(*each)) for each in streams(lab.status())]
        time.sleep(2)
        hands = Hands(lab)
        for node, kind in itertools.product(VICTIMS[:ROUNDS], KINDS):
            kill_and_work_meanwhile(hands, node, kind)
            time.sleep(BETWEEN_KILLS_SECONDS)
        before = hands.kill("etcd", "etcd")
        assert eventually(lambda: hands.replaced("etcd", "etcd", before), 15)
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
    hands = Hands(lab)
    with Pinger(source, names["tors"][1]["outside"]) as pinger:
        time.sleep(2)
        before = hands.kill("node-a1", "exabgp")
        assert eventually(lambda: hands.replaced("node-a1", "exabgp", before), 15)
        time.sleep(5)
        count = pinger.stop()
    assert count.missing, str(count)
