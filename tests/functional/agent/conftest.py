"""A fixture: the node that felix's functional tests work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.agent.felix_node import FelixNode
from tests.support.netns import Namespaces


@pytest.fixture
def node(tmp_path: Path, namespaces: Namespaces) -> Iterator[FelixNode]:
    """A namespace with etcd; felix is not started yet."""
    with FelixNode(tmp_path, namespaces) as made:
        yield made
