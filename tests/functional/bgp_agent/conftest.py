"""A fixture: the node that the BGP agent's functional tests work on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.bgp_agent.machine import Machine
from tests.support.netns import Namespaces


@pytest.fixture
def machine(namespaces: Namespaces) -> Iterator[Machine]:
    """etcd and ExaBGP's launcher run; the agent and the BIRDs are not started yet.

    Not in tmp_path: pytest makes its parent 0700 whenever another run starts, and ExaBGP's user
    must get in.
    """
    directory = Path(tempfile.mkdtemp(prefix="felix-py-bgp-"))
    directory.chmod(0o755)
    try:
        with Machine(directory, namespaces) as made:
            yield made
    finally:
        shutil.rmtree(directory)
