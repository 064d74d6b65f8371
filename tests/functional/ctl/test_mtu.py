"""The MTU of running pods, put right at both ends by the command, with connections that go on."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from felix_py.kernel import mtu_file
from tests.functional.cni.node import ADDRESS, Call, CniNode
from tests.functional.cni.runtime import compile_shim
from tests.support import netns

pytestmark = [pytest.mark.root, pytest.mark.etcd]

PORT = 7000
BYTES = 300_000
NGINX = "IgnoreUnknown=1;K8S_POD_NAMESPACE=web;K8S_POD_NAME=nginx"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CniNode]:
    shim = compile_shim(tmp_path_factory.mktemp("shim"), "-Os", "-static", "-s")
    with CniNode(tmp_path_factory.mktemp("node"), shim) as node:
        yield node


@pytest.fixture
def node(shared: CniNode) -> Iterator[CniNode]:
    yield shared
    assert not shared.left_behind()


class Pod:
    """An attached container."""

    def __init__(self, node: CniNode, **conf: Any) -> None:
        args = conf.pop("args", "")
        self.node = node
        self.container: Call = node.container(args=args)
        self.namespace = Path(self.container.netns).name
        added = node.call("ADD", self.container, **conf)
        assert added.exit_code == 0, added.stdout
        self.link: str = added.json["interfaces"][0]["name"]

    def ends(self) -> tuple[int, int]:
        [pod] = netns.ip_json("link", "show", "eth0", namespace=self.namespace)
        return self.node.links()[self.link]["mtu"], pod["mtu"]

    def remove(self) -> None:
        assert self.node.call("DEL", self.container).exit_code == 0


def felixctl(node: CniNode, *arguments: str, status: int = 0) -> str:
    """In the node's namespace, where this thread is. Its output and its complaints."""
    argv = ["-c", "from felix_py.ctl.main import main; main()"]
    argv += ["--config", str(node.directory / "felix-py.yaml"), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def right(node: CniNode, mtu: int) -> None:
    """What felix would write."""
    mtu_file.write(str(node.directory / "state"), mtu)


def exchange(one: socket.socket, other: socket.socket) -> None:
    """Random bytes each way at once, whole and unchanged."""
    for sender, receiver in ((one, other), (other, one)):
        told = secrets.token_bytes(BYTES)
        thread = threading.Thread(target=sender.sendall, args=(told,))
        thread.start()
        heard = bytearray()
        while len(heard) < BYTES:
            chunk = receiver.recv(1 << 16)
            assert chunk, "the connection ended"
            heard += chunk
        thread.join()
        assert bytes(heard) == told


@pytest.fixture
def connection(node: CniNode) -> Iterator[tuple[Pod, socket.socket, socket.socket]]:
    """A pod made with 1500 and a TCP connection between it and its node."""
    right(node, 1500)
    pod = Pod(node, args=NGINX)
    with socket.create_server((ADDRESS, PORT)) as server:
        client = netns.call(
            pod.namespace, lambda: socket.create_connection((ADDRESS, PORT), timeout=20)
        )
        accepted, _ = server.accept()
        accepted.settimeout(20)
        with client, accepted:
            yield pod, client, accepted
    pod.remove()


def largest_segment(client: socket.socket) -> int:
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def test_a_running_pod_gets_the_right_mtu_and_its_connection_goes_on(
    node: CniNode, connection: tuple[Pod, socket.socket, socket.socket]
) -> None:
    pod, client, accepted = connection
    exchange(client, accepted)
    assert 1380 < largest_segment(client) <= 1460
    right(node, 1300)
    assert "web/nginx" in felixctl(node, "mtu", "show", status=2)
    assert pod.ends() == (1500, 1500)

    assert felixctl(node, "mtu", "fix") == f"web/nginx on {pod.link}: MTU 1500 -> 1300\n"
    assert pod.ends() == (1300, 1300)
    exchange(client, accepted)
    assert largest_segment(client) <= 1260
    assert "every pod has it" in felixctl(node, "mtu", "show")
    assert felixctl(node, "mtu", "fix") == ""

    right(node, 1450)
    felixctl(node, "mtu", "fix", "web/nginx")
    assert pod.ends() == (1450, 1450)
    exchange(client, accepted)


def test_a_pod_that_is_smaller_than_need_be_is_named_but_nothing_is_wrong(node: CniNode) -> None:
    right(node, 1400)
    pod = Pod(node)
    right(node, 1500)
    shown = json.loads(felixctl(node, "mtu", "show", "-o", "json"))
    assert [(each["link"], each["mtu"], each["tooLarge"]) for each in shown["pods"]] == [
        (pod.link, 1400, False)
    ]
    pod.remove()


def test_only_the_pods_that_were_named_are_set(node: CniNode) -> None:
    right(node, 1500)
    named, other = Pod(node, args=NGINX), Pod(node)
    right(node, 1480)
    assert "no pod of this node is called web/apache" in felixctl(
        node, "mtu", "fix", "web/apache", status=1
    )
    felixctl(node, "mtu", "fix", "web/nginx")
    assert (named.ends(), other.ends()) == ((1480, 1480), (1500, 1500))
    felixctl(node, "mtu", "fix", other.container.container)
    assert other.ends() == (1480, 1480)
    for pod in (named, other):
        pod.remove()


def test_a_pod_whose_own_side_alone_differs_is_set(node: CniNode) -> None:
    right(node, 1480)
    pod = Pod(node)
    netns.ip("link", "set", "eth0", "mtu", "1400", namespace=pod.namespace)
    felixctl(node, "mtu", "fix")
    assert pod.ends() == (1480, 1480)
    pod.remove()


def test_what_configuration_fixed_is_left_and_said(node: CniNode) -> None:
    right(node, 1450)
    pod = Pod(node, mtu=1480)
    assert "recreate the pod" in felixctl(node, "mtu", "show", status=2)
    assert "left at 1480" in felixctl(node, "mtu", "fix")
    assert pod.ends() == (1480, 1480)
    smaller = Pod(node, mtu=1300)
    assert smaller.link not in felixctl(node, "mtu", "show", status=2)
    for each in (pod, smaller):
        each.remove()


def test_a_pod_whose_namespace_nobody_can_name_is_told_and_left(node: CniNode) -> None:
    right(node, 1500)
    pod = Pod(node)
    right(node, 1480)
    holder = os.open(netns.path(pod.namespace), os.O_RDONLY)
    netns.delete(pod.namespace)
    try:
        said = felixctl(node, "mtu", "fix", status=1)
        assert "its namespace has no name on this host" in said
        assert "1 pods could not be set" in said
        assert node.links()[pod.link]["mtu"] == 1500
    finally:
        pod.remove()
        os.close(holder)


def test_before_felix_looked_there_is_nothing_to_fix(node: CniNode) -> None:
    mtu_file.mtu_path(str(node.directory / "state")).unlink(missing_ok=True)
    assert "felix has not found" in felixctl(node, "mtu", "fix", status=1)
