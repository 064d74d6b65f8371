"""The image of the commit before this one, for upgrades and for two versions side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from felix_py.lab.kubernetes import machines
from felix_py.lab.kubernetes.applied import CHECKOUT, IMAGE_SECONDS
from felix_py.lab.machine import Machine
from tests.support.cluster import Cluster

TAG = "previous"
NAME = f"docker.io/felix-py/felix-py:{TAG}"


def give(cluster: Cluster, directory: Path) -> bool:
    """Build it and import it into every node; False where there is no commit before this one."""
    archived = subprocess.run(
        ["git", "archive", "HEAD^"], cwd=CHECKOUT, capture_output=True, check=False
    )
    if archived.returncode:
        return False
    source = directory / "source"
    source.mkdir()
    subprocess.run(["tar", "-x", "-C", str(source)], input=archived.stdout, check=True)
    # Its own modules, and what is installed here for the rest.
    command = [sys.executable, "-m", "image", str(directory / "images"), TAG]
    subprocess.run(command, cwd=source, check=True, timeout=IMAGE_SECONDS, capture_output=True)
    for _, node in cluster.topology.nodes:
        machine = Machine(cluster.lab.home, node.name)
        machines.load(machine, directory / "images" / f"felix-py-{TAG}.tar")
    return True
