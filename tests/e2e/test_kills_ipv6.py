"""Each kill once more with both families: every pair of nodes pings every other and both outsides in each."""

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

VICTIMS = ("node-a1", "node-b1")
"""One in each rack: with IPv6 sessions of its own, and with IPv6 over the IPv4 ones. They take turns."""
PINGS_PER_SECOND = 40
"""Of each of thirty-two streams: two cores carry all of them and what is killed besides."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Both families with blocks of two, so that a pod or two make a node claim new blocks."""
    directory = tmp_path_factory.mktemp("kills6")
    made = Lab(directory)
    source = Path(__file__).parents[2] / "felix_py/lab/topologies/dual-stack.yaml"
    text = source.read_text()
    for old, new in (("blockSize: 26", "blockSize: 31"), ("blockSize: 122", "blockSize: 127")):
        assert old in text
        text = text.replace(old, new)
    topology = directory / "small-blocks.yaml"
    topology.write_text(text)
    made.up(str(topology))
    yield made
    made.down()


def streams(names: dict[str, Any]) -> list[tuple[str, str]]:
    """(namespace, target) in both families: every pair of nodes, both ways, and each outside from two."""
    one_each = {pod["node"]: pod for pod in names["pods"]}
    pods = [one_each[node["name"]] for node in names["nodes"]]
    pairs = [
        (source["netns"], target[key])
        for source, target in itertools.permutations(pods, 2)
        for key in ("address", "address6")
    ]
    outside = [tor[key] for tor in names["tors"] for key in ("outside", "outside6")]
    return pairs + [(pods[place]["netns"], address) for place in (0, 2) for address in outside]


@pytest.mark.timeout(600)
def test_no_ping_of_either_family_is_lost_while_everything_is_killed(lab: Lab) -> None:
    with ExitStack() as stack:
        pingers = [
            stack.enter_context(Pinger(*each, per_second=PINGS_PER_SECOND))
            for each in streams(lab.status())
        ]
        time.sleep(2)
        hands = Hands(lab)
        for kind, node in zip(KINDS, itertools.cycle(VICTIMS), strict=False):
            kill_and_work_meanwhile(hands, node, kind)
            time.sleep(BETWEEN_KILLS_SECONDS)
        before = hands.kill("etcd", "etcd")
        assert eventually(lambda: hands.replaced("etcd", "etcd", before), 15)
        time.sleep(AFTER_LAST_KILL_SECONDS)
        counts = counted(pingers)
    lost = [str(count) for count in counts if count.missing or count.duplicates]
    assert not lost, "\n".join(lost)
    assert all(count.sent > PINGS_PER_SECOND * AFTER_LAST_KILL_SECONDS * 0.8 for count in counts)


NO_GRACEFUL_RESTART = """
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor-a-v6}
spec: {nodeSelector: "rack == 'a'", peerIP: "fd00:10:1::1", asNumber: 65001, maxRestartTime: 0s}
"""


def offers_graceful_restart(lab: Lab, protocol: str) -> bool:
    """Whether the ToR's BIRD hears the capability on a session."""
    told = lab.exec("tor-a", "birdc", "-r", "show", "protocols", "all", protocol)
    theirs = told.partition("Neighbor capabilities")[2].partition("Session:")[0]
    return "Graceful restart" in theirs


@pytest.mark.timeout(240)
def test_without_graceful_restart_of_the_ipv6_session_ipv6_pings_are_lost(
    lab: Lab, tmp_path: Path
) -> None:
    """The control, in one family alone: IPv4 pings beside them come through."""
    wanted = tmp_path / "no-graceful-restart.yaml"
    wanted.write_text(NO_GRACEFUL_RESTART)
    assert offers_graceful_restart(lab, "node_a1_v6")
    lab.exec("node-a1", "felixctl", "apply", "-f", str(wanted))
    assert eventually(lambda: not offers_graceful_restart(lab, "node_a1_v6"), 30)
    names = lab.status()
    source = lab.pods("node-a1")[0]["netns"]
    lab.felix_lab("prove")
    hands = Hands(lab)
    with (
        Pinger(source, names["tors"][1]["outside"]) as four,
        Pinger(source, names["tors"][1]["outside6"]) as six,
    ):
        time.sleep(2)
        before = hands.kill("node-a1", "exabgp")
        assert eventually(lambda: hands.replaced("node-a1", "exabgp", before), 15)
        time.sleep(5)
        counts = counted([four, six])
    assert not counts[0].missing, str(counts[0])
    assert counts[1].missing, str(counts[1])
