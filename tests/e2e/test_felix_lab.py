"""The command itself: pods come and go, things fail and heal, and nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import host_state
from tests.support.lab import Lab, eventually, in_netns

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(240)]

PATIENCE = ("--seconds", "150")
"""A session to a node that vanished without a word comes back when the old one is noticed dead (a
third of the hold time) and the next attempt is due (ExaBGP waits up to a minute between them). Until
then packets go by way of the ToR: nothing is lost, but there is one router more than there should be."""
KINDS = ("felix", "bgp", "launcher", "exabgp", "relay", "cni")


def test_a_pod_added_reaches_the_other_rack_and_a_pod_deleted_is_gone(default_lab: Lab) -> None:
    name, address = default_lab.felix_lab("pod", "add", "node-a1").stdout.split()
    pod = next(each for each in default_lab.pods() if each["name"] == name)
    far = default_lab.pods("node-b1")[0]["address"]
    assert eventually(
        lambda: (
            in_netns(pod["netns"], "ping", "-c", "1", "-W", "1", far, check=False).returncode == 0
        )
    )
    default_lab.felix_lab("pod", "del", name)
    assert name not in {each["name"] for each in default_lab.pods()}
    assert not Path("/run/netns", pod["netns"]).exists()
    routes = json.loads(default_lab.exec("node-a1", "ip", "-j", "route"))
    assert address not in {route["dst"] for route in routes}


def test_status_as_json_names_everything_and_exec_runs_inside(default_lab: Lab) -> None:
    told = json.loads(default_lab.felix_lab("status", "-o", "json").stdout)
    assert {"nodes", "pods", "tors", "processes", "etcd"} <= set(told)
    for node in told["nodes"]:
        name = default_lab.felix_lab("exec", node["name"], "--", "hostname").stdout
        assert name.strip() == node["name"]
    pod = told["pods"][0]
    shown = default_lab.felix_lab("exec", pod["name"], "--", "ip", "-o", "-4", "address").stdout
    assert f" {pod['address']}/32 " in shown
    assert "node-a1" in default_lab.felix_lab("status").stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_is_killed_is_back_under_another_id(default_lab: Lab, kind: str) -> None:
    assert eventually(lambda: bool(default_lab.pids("node-b2", kind)))
    before = default_lab.pids("node-b2", kind)
    default_lab.felix_lab("fail", "process", "node-b2", kind)
    assert eventually(
        lambda: (
            bool(default_lab.pids("node-b2", kind))
            and not set(before) & set(default_lab.pids("node-b2", kind))
        )
    )


def test_a_pulled_cable_is_noticed_by_the_proof_and_healed(default_lab: Lab) -> None:
    default_lab.felix_lab("prove")
    default_lab.felix_lab("fail", "link", "node-a1", "tor-a")
    failed = default_lab.felix_lab("prove", "--seconds", "1", check=False)
    default_lab.felix_lab("heal")
    assert failed.returncode == 1
    assert "pod-a1-1" in failed.stdout + failed.stderr
    default_lab.felix_lab("prove", *PATIENCE)


@pytest.mark.timeout(400)
def test_a_node_powered_off_comes_back_with_its_pods(default_lab: Lab) -> None:
    before = {pod["name"] for pod in default_lab.pods("node-a2")}
    default_lab.felix_lab("fail", "node", "node-a2")
    assert not default_lab.pids("node-a2", "felix")
    default_lab.felix_lab("heal")
    assert {pod["name"] for pod in default_lab.pods("node-a2")} == before
    default_lab.felix_lab("prove", *PATIENCE)


@pytest.mark.timeout(400)
def test_a_tor_powered_off_comes_back(default_lab: Lab) -> None:
    default_lab.felix_lab("fail", "tor", "tor-b")
    assert not default_lab.pids("tor-b", "bgpd")
    default_lab.felix_lab("heal")
    default_lab.felix_lab("prove", *PATIENCE)


def test_what_does_not_exist_is_said_in_one_sentence(default_lab: Lab) -> None:
    failed = default_lab.felix_lab("fail", "process", "node-a1", "nginx", check=False)
    assert failed.returncode == 1
    assert "no 'nginx' runs there" in failed.stderr


def test_down_leaves_nothing_and_up_works_again_in_its_place(tmp_path: Path) -> None:
    before = host_state()
    lab = Lab(tmp_path)
    small = tmp_path / "small.yaml"
    small.write_text(
        "name: small\npodsPerNode: 1\n"
        "racks:\n"
        "  - name: a\n    subnet: 10.10.1.0/24\n"
        "    tor: {name: tor-a, kind: frr, asNumber: 65001, outside: 198.51.100.1}\n"
        "    nodes: [{name: one}, {name: two}]\n"
        "pools:\n  - {name: pods, spec: {cidr: 10.99.0.0/24, blockSize: 28}}\n"
        "peers:\n  - {name: tor-a, spec: {peerIP: 10.10.1.1, asNumber: 65001}}\n"
        "tls: true\n"
    )
    try:
        lab.up(str(small))
        lab.up(str(small))
        assert len(lab.pods()) == 2
    finally:
        lab.down()
    assert not [entry for entry in Path("/run/netns").iterdir() if entry.name.startswith(lab.name)]
    assert not lab.directory.exists()
    assert not list(Path("/dev/shm").glob(f"*{lab.name}*"))
    assert host_state() == before
    assert "no lab is up" in lab.felix_lab("status", check=False).stderr
