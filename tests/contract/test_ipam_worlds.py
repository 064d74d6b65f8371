"""The wilder stories of addresses, told to a world in memory and to one on a real etcd: they answer alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.memory_store import MemoryStore
from tests.support.etcd import EtcdServer
from tests.support.ipam_stories import wipe
from tests.unit.ipam.contested import HANDLES
from tests.unit.ipam.stories import Stories
from tests.unit.ipam.world import World


@pytest.fixture
def store(etcd: EtcdServer) -> Iterator[EtcdStore]:
    store = EtcdStore.connect(etcd.settings)
    yield store
    store.close()


class OnBoth(Stories):
    """Each step is asked of both."""

    def __init__(self, store: EtcdStore) -> None:
        super().__init__()
        wipe(store)
        self.worlds = (World(MemoryStore()), World(store))


@pytest.mark.etcd
def test_memory_and_etcd_answer_alike_and_neither_contradicts_the_model(store: EtcdStore) -> None:
    class OnThisEtcd(OnBoth):
        def __init__(self) -> None:
            super().__init__(store)

    run_state_machine_as_test(OnThisEtcd, settings=settings(max_examples=8, stateful_step_count=20))


@pytest.mark.etcd
def test_worlds_that_differ_are_noticed(store: EtcdStore) -> None:
    """The control: one of the two has lost a pool."""
    both = OnBoth(store)
    both.worlds[0].switch("six")
    with pytest.raises(AssertionError):
        both.assign("a", HANDLES[0], (6,), 1)
