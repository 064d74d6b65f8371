"""felix-py-cleanup in a namespace: waits for the last pod, takes what is ours, leaves what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cni.conflist import CONFLIST_NAME
from tests.support.netns import Namespaces

SECONDS = 30.0
OURS = """
ip link add uplink type veth peer name router
ip addr add 10.0.0.1/24 dev uplink
ip link set router up
ip link set uplink up
ip route add 10.244.1.0/26 via 10.0.0.2 proto 81 metric 1025
ip route add blackhole 10.244.0.0/26 proto 80 metric 1024
ip route add 10.99.0.0/24 via 10.0.0.2 proto static
ip link add vxlan.calico type vxlan id 4096 dstport 4789 dev uplink
ip link set vxlan.calico alias "felix-py tunnel"
ip link add cali0123456789a type veth peer name inside
ip link set cali0123456789a alias k8s-pod-network.abc
nft add table inet felix-py
nft add table arp felix-py
nft add table ip theirs
nft add chain ip theirs forward { type filter hook forward priority 0 \\; policy drop \\; }
nft add rule ip theirs forward iifname "cali*" accept comment "felix-py"
nft add rule ip theirs forward counter comment "theirs"
"""


class Node:
    """A namespace with what is ours and what is not, and the program at work in it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        for line in OURS.strip().splitlines():
            self.run(*_words(line))
        self.folders = {each: directory / each for each in ("run", "state", "bin", "conf")}
        for folder in self.folders.values():
            folder.mkdir()
        (self.folders["state"] / "nodename").write_text("node\n")
        (self.folders["run"] / "endpoints").mkdir()
        (self.folders["conf"] / CONFLIST_NAME).write_text("not ours\n")
        self.log = (directory / "log").open("w+")
        code = "from felix_py.install.cleanup import main; main()"
        self.process = subprocess.Popen(
            [*self.inside, sys.executable, "-c", code],
            env={
                **os.environ,
                "PATH": f"{directory}:{os.environ['PATH']}",
                "FELIX_PY_NODE_RUN_DIR": str(self.folders["run"]),
                "FELIX_PY_NODE_STATE_DIR": str(self.folders["state"]),
                "FELIX_PY_CNI_BIN_DIR": str(self.folders["bin"]),
                "FELIX_PY_CNI_CONF_DIR": str(self.folders["conf"]),
            },
            stderr=self.log,
        )

    @property
    def inside(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.name}", "--"]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [*self.inside, *command], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout

    def said(self) -> str:
        return (self.directory / "log").read_text()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def _words(line: str) -> list[str]:
    """nft takes its words as they are."""
    return ["sh", "-c", line]


@pytest.fixture
def node(tmp_path: Path, namespaces: Namespaces) -> Iterator[Node]:
    # A cni server that only lives: what it does is tested elsewhere.
    server = tmp_path / "felix-cni"
    server.write_text("#!/bin/sh\nexec sleep 1000\n")
    server.chmod(0o755)
    made = Node(namespaces.create(), tmp_path)
    yield made
    made.end()


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_as_long_as_a_pod_lives_everything_stays_and_then_ours_alone_goes(node: Node) -> None:
    assert until(lambda: "1 pods of ours still run here (cali0123456789a)" in node.said())
    routes = json.loads(node.run("ip", "-j", "route"))
    assert {"80", "81"} <= {route.get("protocol") for route in routes}
    assert (node.folders["state"] / "nodename").exists()
    node.run("ip", "link", "delete", "cali0123456789a")
    assert until(lambda: "nothing of ours is left" in node.said()), node.said()
    left = {route["dst"] for route in json.loads(node.run("ip", "-j", "route"))}
    assert left == {"10.0.0.0/24", "10.99.0.0/24"}
    links = {link["ifname"] for link in json.loads(node.run("ip", "-j", "link"))}
    assert "vxlan.calico" not in links
    assert "uplink" in links
    rules = node.run("nft", "list", "ruleset")
    assert "felix-py" not in rules
    assert 'comment "theirs"' in rules
    for name in ("run", "state", "bin"):
        assert list(node.folders[name].iterdir()) == []
    assert (node.folders["conf"] / CONFLIST_NAME).read_text() == "not ours\n"
