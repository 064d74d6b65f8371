"""`felixctl plan`, and an apply that asks, as people and scripts run them, on a real etcd."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.functional.ctl.test_felixctl import POOL, RESOURCES, Felixctl
from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.etcd

NODE = """
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: %(name)s, labels: {rack: %(rack)s}}
spec: {bgp: {ipv4Address: %(address)s}}
"""
POD = """
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
spec:
  {orchestrator: k8s, node: a1, containerID: c1, pod: web, endpoint: eth0,
   ipNetworks: [10.244.0.5/32], interfaceName: cali1}
"""
NODES = [
    NODE % {"name": "a1", "rack": "a", "address": "10.0.1.1/24"},
    NODE % {"name": "b1", "rack": "b", "address": "10.0.2.1/24"},
]
RACK_A = f"{POOL}  nodeSelector: rack == 'a'\n"
IPIP = f"{POOL}  ipipMode: Always\n"
PATCH = "{metadata: {labels: {rack: d}}}"
ANSWER_SECONDS = 60


@pytest.fixture
def felixctl(tmp_path: Path, etcd: EtcdServer) -> Felixctl:
    """With two nodes, a pool and a pod."""
    made = Felixctl(tmp_path, etcd)
    made("apply", "-f", "-", stdin="---".join([*NODES, POOL, POD]))
    return made


def pool_of(etcd: EtcdServer) -> dict[str, Any]:
    key = f"{RESOURCES}ippools/main"
    spec = json.loads(etcd.dump(key)[key])["spec"]
    assert isinstance(spec, dict)
    return spec


def at_a_terminal(felixctl: Felixctl, answer: str, *verb: str) -> tuple[int, str]:
    """A command with a terminal for its standard input, on which somebody types; status and output."""
    ours, theirs = pty.openpty()
    script = "from felix_py.ctl.main import main; main()"
    argv = [sys.executable, "-c", script, "--config", str(felixctl.config), *verb]
    try:
        process = subprocess.Popen(
            argv, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        os.write(ours, f"{answer}\n".encode())
        told, _ = process.communicate(timeout=ANSWER_SECONDS)
    finally:
        os.close(ours)
        os.close(theirs)
    return process.returncode, told


def test_a_plan_says_what_is_lost_by_its_exit_status_and_writes_nothing(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    before = etcd.dump()
    told = felixctl("plan", "-f", "-", stdin=RACK_A, status=2)
    assert 'spec.nodeSelector: "all()" -> "rack == \'a\'"' in told
    assert "1  addresses: nodes are left without an IPv4 pool" in told
    assert "  b1\n" in told
    told = felixctl("plan", "-f", "-", stdin=IPIP)
    assert "1  ways: pairs of nodes: pool main goes by ipip, not direct" in told
    assert "refused" not in told
    told = felixctl("plan", "--delete", "-f", "-", stdin=POOL, status=2)
    assert "default/web 10.244.0.5" in told
    larger = felixctl("plan", "-f", "-", stdin=f"{POOL}  blockSize: 24\n", status=1)
    assert "cannot become 24" in larger
    assert etcd.dump() == before


def test_a_plan_for_scripts_is_json(felixctl: Felixctl) -> None:
    document = json.loads(felixctl("plan", "-f", "-", "-o", "json", stdin=IPIP))
    assert document["loses"] is False
    assert document["objects"] == [
        {
            "object": "IPPool(main)",
            "action": "change",
            "fields": ['spec.ipipMode: "Never" -> "Always"'],
        }
    ]
    assert {each["topic"] for each in document["effects"]} == {"addresses", "ways"}


def test_a_script_must_say_yes_to_a_loss(felixctl: Felixctl, etcd: EtcdServer) -> None:
    told = felixctl("apply", "-f", "-", stdin=RACK_A, status=2)
    assert "nothing was written: something would be lost; add --yes" in told
    assert pool_of(etcd)["nodeSelector"] == "all()"
    assert felixctl("apply", "-f", "-", "--dry-run", stdin=RACK_A).count("would be") == 1
    assert felixctl("apply", "-f", "-", stdin=IPIP) == "IPPool(main) changed\n"
    assert pool_of(etcd)["ipipMode"] == "Always"


def test_somebody_at_a_terminal_is_shown_the_plan_and_asked(
    felixctl: Felixctl, etcd: EtcdServer, tmp_path: Path
) -> None:
    file = tmp_path / "rack-a.yaml"
    file.write_text(RACK_A, "utf-8")
    status, told = at_a_terminal(felixctl, "n", "apply", "-f", str(file))
    assert status == 2
    assert "nodes are left without an IPv4 pool" in told
    assert "Apply this?" in told
    assert pool_of(etcd)["nodeSelector"] == "all()"
    status, told = at_a_terminal(felixctl, "y", "apply", "-f", str(file))
    assert status == 0, told
    assert pool_of(etcd)["nodeSelector"] == "rack == 'a'"


def test_somebody_at_a_terminal_is_asked_before_a_pool_is_deleted_and_a_script_is_not(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    status, told = at_a_terminal(felixctl, "n", "delete", "pool", "main")
    assert status == 2
    assert "pods lose their address" in told
    assert "default/web 10.244.0.5" in told
    assert "Delete this?" in told
    assert pool_of(etcd)["cidr"] == "10.244.0.0/16"
    assert felixctl("delete", "pool", "main") == "IPPool(main) deleted\n"


def test_a_label_that_takes_a_node_its_pool_is_asked_about_at_a_terminal(
    felixctl: Felixctl, etcd: EtcdServer
) -> None:
    felixctl("patch", "pool", "main", "-p", "{spec: {nodeSelector: \"rack == 'a'\"}}")
    label = ("label", "node", "a1", "rack=c", "--overwrite")
    status, told = at_a_terminal(felixctl, "n", *label)
    assert status == 2
    assert "nodes are left without an IPv4 pool" in told
    assert "Write this?" in told
    status, told = at_a_terminal(felixctl, "y", *label)
    assert status == 0, told
    status, told = at_a_terminal(felixctl, "", "patch", "node", "a1", "--yes", "-p", PATCH)
    assert status == 0, told
    key = f"{RESOURCES}nodes/a1"
    assert json.loads(etcd.dump(key)[key])["metadata"]["labels"]["rack"] == "d"
