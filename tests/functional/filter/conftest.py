"""A fixture: the wire that the filter's tests work on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.filter.world import World
from tests.support.netns import Namespaces


@pytest.fixture
def world(namespaces: Namespaces) -> Iterator[World]:
    """Two pods on a node, another node, a plain host; no table yet."""
    with World(namespaces) as made:
        yield made
