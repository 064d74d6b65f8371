"""hostPort: the reference portmap plugin, called after ours as the conflist says."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.conflist import render
from cni.settings import CniSettings
from tests.functional.cni.node import ADDRESS, CniNode
from tests.functional.cni.runtime import Result, environment
from tests.support import netns

pytestmark = [pytest.mark.root, pytest.mark.etcd]

PORTMAP = Path("/usr/lib/cni/portmap")
HOST_PORT, POD_PORT = 18080, 80
SECONDS = 10.0


@pytest.fixture
def node(tmp_path: Path, shim: Path) -> Iterator[CniNode]:
    with CniNode(tmp_path, shim) as made:
        yield made


def _portmap(command: str, container: str, netns_path: str, previous: object) -> Result:
    """As a runtime calls the second plugin of our conflist."""
    network = json.loads(render(CniSettings(), ("portmap",)))
    plugin = network["plugins"][1]
    assert plugin.pop("capabilities") == {"portMappings": True}
    mapping = {"hostPort": HOST_PORT, "containerPort": POD_PORT, "protocol": "tcp"}
    configuration = {
        **plugin,
        "cniVersion": network["cniVersion"],
        "name": network["name"],
        "runtimeConfig": {"portMappings": [mapping]},
        "prevResult": previous,
    }
    done = subprocess.run(
        [str(PORTMAP)],
        input=json.dumps(configuration).encode(),
        env={
            **environment(command, container, netns_path),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    return Result(done.returncode, done.stdout)


def _listening() -> socket.socket:
    return socket.create_server(("0.0.0.0", POD_PORT))


def _answers(host: str) -> bool:
    try:
        with socket.create_connection((host, HOST_PORT), SECONDS) as connection:
            return bool(connection.getpeername())
    except OSError:
        return False


def test_a_pods_host_port_is_reached_at_the_node_until_the_pod_is_gone(node: CniNode) -> None:
    container = node.container()
    added = node.call("ADD", container)
    assert added.exit_code == 0, added.stdout
    mapped = _portmap("ADD", container.container, container.netns, added.json)
    assert mapped.exit_code == 0, mapped.stdout
    assert mapped.json["ips"] == added.json["ips"]
    pod = Path(container.netns).name
    with netns.call(pod, _listening):
        assert _answers(ADDRESS)
    assert _portmap("DEL", container.container, container.netns, added.json).exit_code == 0
    assert node.call("DEL", container).exit_code == 0
    assert not _answers(ADDRESS)
