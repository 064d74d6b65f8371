from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cni.conflist import CONFLIST_NAME
from felix_py.runtime import status_file
from tests.functional.cni.node import REPOSITORY, CniNode

pytestmark = [pytest.mark.root, pytest.mark.etcd]

SECONDS = 20.0


def _errand(name: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """What an init container runs: no etcd, no node's name, settings by environment alone."""
    clean = {key: value for key, value in os.environ.items() if "FELIX" not in key}
    return subprocess.run(
        [sys.executable, "-c", "from cni.main import main; main()", name],
        cwd=REPOSITORY,
        env={**clean, **variables},
        capture_output=True,
        check=False,
        timeout=30,
    )


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def node(tmp_path: Path, shim: Path) -> Iterator[CniNode]:
    made = CniNode(tmp_path, shim)
    made.sections["cni"] = {"confDir": f"{tmp_path}/net.d"}
    with made:
        yield made


def _status(node: CniNode) -> dict[str, Any]:
    return status_file.read(f"{node.directory}/run", "cni") or {}


def test_the_runtime_is_told_once_the_bgp_agent_has_announced(node: CniNode) -> None:
    conflist = node.directory / "net.d" / CONFLIST_NAME
    _until(lambda: "bgp agent" in str(_status(node).get("conflist")))
    assert node.status().exit_code == 0
    assert not conflist.exists()
    told = {"store": {"inSync": True}, "sessions": [{"state": "up", "announcedAll": True}]}
    status_file.write(f"{node.directory}/run", "bgp", told)
    _until(conflist.exists)
    assert json.loads(conflist.read_text())["plugins"][0]["type"] == "felix-py"

    written = conflist.stat()
    node.kill_server()
    status_file.write(f"{node.directory}/run", "bgp", {})
    node.start_server()
    _until(lambda: _status(node).get("conflist", {}).get("state") == "written")
    assert conflist.stat().st_ino == written.st_ino
    node.etcd.stop()
    node.stop_server()
    assert conflist.stat().st_ino == written.st_ino


def test_an_init_container_installs_and_a_clean_up_removes_what_is_ours(tmp_path: Path) -> None:
    image, target, networks = tmp_path / "image", tmp_path / "bin", tmp_path / "net.d"
    image.mkdir()
    target.mkdir()
    for name in ("felix-py", "portmap", "bandwidth", "loopback"):
        (image / name).write_bytes(name.encode())
    (target / "loopback").write_bytes(b"the host's")
    variables = {
        "FELIX_PY_CNI_BIN_DIR": str(target),
        "FELIX_PY_CNI_PLUGIN_DIR": str(image),
        "FELIX_PY_CNI_CONF_DIR": str(networks),
    }
    done = _errand("install", variables)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in target.iterdir()}
    assert names == {"felix-py", "portmap", "bandwidth", "loopback", ".felix-py.json"}
    assert not networks.exists()
    done = _errand("uninstall", variables)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in target.iterdir()] == ["loopback"]
    assert (target / "loopback").read_bytes() == b"the host's"

    refused = _errand("install", {})
    assert refused.returncode == 2
    assert b"cni.binDir" in refused.stderr
