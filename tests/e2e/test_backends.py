"""Who writes the routes between nodes changes on a running cluster, under pings that nobody may lose.

The router of this lab knows no pod: a route that is missing for a moment shows.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from felix_py.lab import faults
from felix_py.lab.machine import layer
from felix_py.lab.node import CONFIG
from tests.e2e.conftest import Labs
from tests.e2e.kills import Hands, counted
from tests.support.lab import Lab, eventually
from tests.support.pinger import Count, Pinger

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(300)]

FELIX, BGP = "80", "81"
NODES = ("node-1", "node-2", "node-3")
PINGS_PER_SECOND = 50
HOLD_SECONDS = 3.0
"""Pings go on for so long after each step."""
STEP_SECONDS = 30.0


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    return labs.get("plain")


@pytest.fixture
def pinged(lab: Lab) -> Iterator[list[Count]]:
    """Every pair of nodes, both ways, while the test runs; the counts are there at its end."""
    counts: list[Count] = []
    with streams(lab) as pingers:
        yield counts
        time.sleep(HOLD_SECONDS)
        counts += counted(pingers)
    lost = [str(count) for count in counts if count.missing or count.duplicates]
    assert not lost, "\n".join(lost)
    assert all(count.sent > PINGS_PER_SECOND * HOLD_SECONDS for count in counts)


@contextmanager
def streams(lab: Lab) -> Iterator[list[Pinger]]:
    one_each = {pod["node"]: pod for pod in lab.pods()}
    with ExitStack() as stack:
        pingers = [
            stack.enter_context(
                Pinger(source["netns"], target["address"], per_second=PINGS_PER_SECOND)
            )
            for source, target in itertools.permutations(one_each.values(), 2)
        ]
        time.sleep(1)
        yield pingers


def felix_programs(lab: Lab, directory: Path, *, on: bool) -> None:
    """FelixConfiguration programClusterRoutes, as an operator writes it."""
    state = "Enabled" if on else "Disabled"
    file = directory / f"{state}.yaml"
    document = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": {"programClusterRoutes": state},
    }
    file.write_text(yaml.safe_dump(document))
    lab.exec("node-1", "felixctl", "apply", "-f", str(file))


def writers(lab: Lab) -> set[str]:
    """The protocols of all nodes' routes to other nodes' blocks; "none" where one is missing."""
    found = lab.etcd("/calico/ipam/v2/assignment/ipv4/block/")
    owners = {value["cidr"]: value["affinity"].removeprefix("host:") for value in found.values()}
    seen: set[str] = set()
    for node in NODES:
        routes: dict[str, set[str]] = {}
        for route in json.loads(lab.exec(node, "ip", "-N", "-j", "route")):
            routes.setdefault(route["dst"], set()).add(str(route.get("protocol")))
        for block in [block for block, owner in owners.items() if owner != node]:
            seen |= routes.get(block, {"none"})
    return seen


def set_backend(lab: Lab, node: str, backend: str) -> None:
    """The setting `node.backend`, and the two daemons that read it started again."""
    file = layer(lab.home.disk(node), "/etc") / CONFIG
    settings = yaml.safe_load(file.read_text())
    settings["node"] = {"backend": backend}
    file.write_text(yaml.safe_dump(settings))
    hands = Hands(lab)
    for kind in ("felix", "bgp"):
        before = hands.kill(node, kind)
        assert eventually(lambda: hands.replaced(node, kind, before), 20), f"{kind} of {node}"  # noqa: B023
    status = lab.home.run_dir(node) / "felix-py/status/bgp.json"
    assert eventually(lambda: in_sync(status, backend), 20), f"{node}: {status.read_text()}"


def in_sync(status: Path, backend: str) -> bool:
    told = json.loads(status.read_text())
    return bool(told["backend"] == backend and told["store"]["inSync"])


def sessions(lab: Lab) -> set[str]:
    """States of all nodes' BGP sessions."""
    found = set()
    for node in NODES:
        status = lab.home.run_dir(node) / "felix-py/status/bgp.json"
        found |= {one["state"] for one in json.loads(status.read_text())["sessions"]}
    return found


def test_felix_takes_the_routes_over_from_bgp_and_gives_them_back(
    lab: Lab, pinged: list[Count], tmp_path: Path
) -> None:
    assert writers(lab) == {BGP}
    for on, writer in ((True, FELIX), (False, BGP), (True, FELIX), (False, BGP)):
        felix_programs(lab, tmp_path, on=on)
        assert eventually(lambda: writers(lab) == {writer}, STEP_SECONDS), writers(lab)  # noqa: B023
        time.sleep(HOLD_SECONDS)


def test_nodes_leave_bgp_one_by_one_and_come_back(
    lab: Lab, pinged: list[Count], tmp_path: Path
) -> None:
    """First felix writes the routes everywhere, then BGP may go; back in the opposite order."""
    felix_programs(lab, tmp_path, on=True)
    assert eventually(lambda: writers(lab) == {FELIX}, STEP_SECONDS)
    for node in NODES:
        set_backend(lab, node, "none")
        assert writers(lab) == {FELIX}
    assert eventually(lambda: not sessions(lab), STEP_SECONDS), sessions(lab)
    time.sleep(HOLD_SECONDS)
    for node in NODES:
        set_backend(lab, node, "bgp")
    assert eventually(lambda: sessions(lab) == {"up"}, 90), sessions(lab)
    assert writers(lab) == {FELIX}
    felix_programs(lab, tmp_path, on=False)
    assert eventually(lambda: writers(lab) == {BGP}, STEP_SECONDS), writers(lab)


def test_a_route_that_is_really_missing_loses_pings(lab: Lab, tmp_path: Path) -> None:
    """The control: with felix held down nobody puts back what is deleted by hand."""
    felix_programs(lab, tmp_path, on=True)
    assert eventually(lambda: writers(lab) == {FELIX}, STEP_SECONDS)
    hands = Hands(lab)
    faults.process(hands.home, hands.topology, "node-1", "felix", hold=True)
    try:
        with streams(lab) as pingers:
            for route in json.loads(
                lab.exec("node-1", "ip", "-N", "-j", "route", "show", "proto", FELIX)
            ):
                if route.get("gateway"):
                    lab.exec("node-1", "ip", "route", "del", route["dst"], "proto", FELIX)
            time.sleep(1)
            lost = [count.what for count in counted(pingers) if count.missing]
    finally:
        faults.heal(hands.home, hands.topology)
        assert eventually(lambda: writers(lab) == {FELIX}, STEP_SECONDS)
        felix_programs(lab, tmp_path, on=False)
    # node-1's own streams to two nodes, and theirs, whose answers find no way back.
    assert len(lost) == 4, lost
    assert eventually(lambda: writers(lab) == {BGP}, STEP_SECONDS), writers(lab)
