"""The same stories of addresses on the store in memory and on a real etcd: no model is contradicted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from felix_py.datastore.etcd_store import EtcdStore
from felix_py.datastore.memory_store import MemoryStore
from tests.support.etcd import EtcdServer
from tests.support.ipam_stories import STEPS, Step, Story, tell, wipe

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
ALL_VERBS: list[Step] = [
    *(("add", node, pod) for pod in range(5) for node in "abc"),
    ("lose", "a", 0),
    ("forge", "", 0),
    ("half", "b", 0),
    ("add", "c", 6),
    ("reserve", "", 1),
    ("mend", "", 0),
    ("add", "c", 6),
    ("strict", "", 1),
    ("delete", "b", 1),
    ("add", "a", 7),
    ("restart", "a", 0),
    ("delete", "a", 7),
    ("remove", "b", 0),
    ("add", "b", 0),
    ("mend", "", 0),
]


@given(STEPS)
def test_no_story_in_memory_contradicts_the_model(steps: list[Step]) -> None:
    tell(MemoryStore(), steps)


@pytest.mark.etcd
@settings(SHARED, max_examples=8)
@given(steps=STEPS)
def test_no_story_on_etcd_contradicts_the_model(etcd: EtcdServer, steps: list[Step]) -> None:
    store = EtcdStore.connect(etcd.settings)
    try:
        wipe(store)
        tell(store, steps)
    finally:
        store.close()


@pytest.mark.parametrize("kind", ["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def test_the_story_with_everything_in_it_holds(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "memory":
        tell(MemoryStore(), ALL_VERBS)
        return
    store = EtcdStore.connect(request.getfixturevalue("etcd").settings)
    try:
        tell(store, ALL_VERBS)
    finally:
        store.close()


def test_a_story_that_goes_wrong_is_noticed() -> None:
    """The control: another pod's endpoint shows an address that is held."""
    story = Story(MemoryStore())
    story.play(("add", "a", 0))
    assert story.wrong() == []
    [address] = story.pods["a", 0]
    story.pods["b", 0] = {address}
    story.pods["b", 1] = {"10.9.0.15"}
    assert any("pods have" in text for text in story.wrong())
