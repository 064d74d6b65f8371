"""What a plan says is what then happens: sessions, routes at a ToR and tunnels are counted in the lab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Labs
from tests.support.lab import Lab, eventually

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(240)]

RESOURCES = "/calico/resources/v3/projectcalico.org/"
SECONDS = 60.0
LOST = 2
"""The exit status when something would be lost."""


@pytest.fixture
def lab(default_lab: Lab) -> Iterator[Lab]:
    """The default lab; pools and configurations are put back, and are as before when it ends."""
    stored = default_lab.etcd(RESOURCES)
    tor, sessions = at_tor(default_lab), established(default_lab)
    yield default_lab
    for key, value in default_lab.etcd(RESOURCES).items():
        if "/ippools/" in key or "/bgpconfigurations/" in key:
            if key not in stored:
                default_lab.exec("etcd", "etcdctl", "del", key)
            elif value != stored[key]:
                default_lab.exec("etcd", "etcdctl", "put", key, "--", json.dumps(stored[key]))
    assert eventually(lambda: at_tor(default_lab) == tor, SECONDS)
    assert eventually(lambda: established(default_lab) == sessions, SECONDS)


@pytest.fixture
def vxlan(labs: Labs) -> Iterator[Lab]:
    """Racks between which packets travel in VXLAN, whose devices stand already; its pool is put back."""
    lab = labs.get("vxlan")
    key = f"{RESOURCES}ippools/pods"
    stored, before = lab.etcd(key)[key], tunnelled(lab)
    yield lab
    lab.exec("etcd", "etcdctl", "put", key, "--", json.dumps(stored))
    assert eventually(lambda: tunnelled(lab) == before, SECONDS)


def tunnelled(lab: Lab) -> set[tuple[str, str]]:
    """(node, gateway) of every IPv4 route to another node's block through the VXLAN."""
    return {
        (node["name"], route["gateway"])
        for node in lab.status()["nodes"]
        for route in json.loads(lab.exec(node["name"], "ip", "-j", "route"))
        if route.get("dev") == "vxlan.calico" and "gateway" in route
    }


def change(lab: Lab, directory: Path, kind: str, name: str, **spec: object) -> str:
    """A file that changes these fields of an object."""
    stored = lab.etcd(f"{RESOURCES}{kind.lower()}s/{name}").values()
    old: dict[str, Any] = next(iter(stored), {"spec": {}})["spec"]
    document = {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {**old, **spec},
    }
    file = directory / "change.yaml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    return str(file)


def felixctl(lab: Lab, *arguments: str, status: int = 0) -> str:
    done = lab.felix_lab("exec", "node-a1", "--", "felixctl", *arguments, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def planned(lab: Lab, file: str, *, status: int = 0) -> dict[str, Any]:
    """Text -> effect."""
    document = json.loads(felixctl(lab, "plan", "-f", file, "-o", "json", status=status))
    return {effect["text"]: effect for effect in document["effects"]}


def at_tor(lab: Lab) -> set[str]:
    """The pods' prefixes that tor-a's kernel has."""
    routes = json.loads(lab.exec("tor-a", "ip", "-j", "route"))
    return {route["dst"] for route in routes if route["dst"].startswith("10.244.")}


def established(lab: Lab) -> set[frozenset[str]]:
    """The sessions that nodes say are up, by their addresses."""
    found = set()
    for node in [each["name"] for each in lab.status()["nodes"]]:
        argv = ("exec", node, "--", "felixctl", "status", "-o", "json")
        told = json.loads(lab.felix_lab(*argv, check=False).stdout)
        sessions = told["daemons"]["bgp"]["status"]["sessions"]
        found |= {frozenset({s["local"], s["peer"]}) for s in sessions if s["state"] == "up"}
    return found


def test_routes_that_a_plan_withdraws_leave_the_tor_and_no_others(lab: Lab, tmp_path: Path) -> None:
    before = at_tor(lab)
    file = change(lab, tmp_path, "IPPool", "pods", disableBGPExport=True)
    effect = planned(lab, file, status=LOST)["routes are withdrawn from all peers"]
    withdrawn = {text.split()[0] for text in effect["examples"]}
    assert effect["count"] == len(effect["examples"])
    assert withdrawn == before
    felixctl(lab, "apply", "-f", file, status=LOST)
    assert at_tor(lab) == before, "nobody said yes"
    felixctl(lab, "apply", "--yes", "-f", file)
    assert eventually(lambda: at_tor(lab) == before - withdrawn, SECONDS)


def test_tunnels_that_a_plan_counts_are_in_the_kernels(vxlan: Lab, tmp_path: Path) -> None:
    before = tunnelled(vxlan)
    file = change(vxlan, tmp_path, "IPPool", "pods", vxlanMode="Always")
    effects = planned(vxlan, file)
    pairs = effects["pairs of nodes: pool pods goes by vxlan, not direct"]["count"]
    assert not any(effect["weight"] == "loss" for effect in effects.values())
    felixctl(vxlan, "apply", "-f", file)
    wanted = len(before) + 2 * pairs
    assert eventually(lambda: len(tunnelled(vxlan)) == wanted, SECONDS), (pairs, tunnelled(vxlan))
    assert before < tunnelled(vxlan)


def test_sessions_that_a_plan_takes_down_end_and_no_others(lab: Lab, tmp_path: Path) -> None:
    before = established(lab)
    file = change(lab, tmp_path, "BGPConfiguration", "default", nodeToNodeMeshEnabled=False)
    effects = planned(lab, file)
    removed = effects["sessions go down and do not come back"]["count"]
    stay = effects["sessions stay up"]["count"]
    assert stay + removed == len(before)
    felixctl(lab, "apply", "-f", file)
    assert eventually(lambda: len(established(lab)) == stay, SECONDS), established(lab)
    assert established(lab) < before
