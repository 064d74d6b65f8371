"""Whatever happens in whatever order, the store holds exactly what callers were told."""

from __future__ import annotations

import pytest
from hypothesis import settings

from felix_py.datastore.memory_store import MemoryStore
from tests.unit.ipam.contested import HANDLES
from tests.unit.ipam.stories import Stories
from tests.unit.ipam.world import World


class InMemory(Stories):
    """On the store in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.worlds = (World(MemoryStore()),)


TestInMemory = InMemory.TestCase
TestInMemory.settings = settings(stateful_step_count=30)


@pytest.mark.parametrize("tampered", ["assignment/ipv4/block/10.0.0", "handle/", "host/a/"])
def test_the_model_sees_what_was_tampered_with(tampered: str) -> None:
    store = MemoryStore()
    world = World(store)
    world.assign("a", HANDLES[0], (4,), 1)
    world.check()
    for item in store.list(f"/calico/ipam/v2/{tampered}").items:
        store.delete(item.key)
    with pytest.raises(AssertionError):
        world.check()
