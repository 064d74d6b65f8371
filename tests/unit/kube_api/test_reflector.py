"""The reflector against an API server in memory, fault by fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from felix_py.kube_api.memory_api import MemoryKubeApi
from felix_py.kube_api.model import KubeObject, Meta, Pod, Ref, Resource
from felix_py.kube_api.port import Scope
from felix_py.kube_api.reflector import KubeChange, KubeMailbox, Reflector, ReflectorState
from felix_py.runtime.clock import SystemClock
from felix_py.runtime.mailbox import Mailbox

PATIENCE_SECONDS = 10.0


def pod(name: str, node: str = "a", label: str = "") -> Pod:
    return Pod(Meta(name, "default", labels={"l": label} if label else {}), node)


def ref(name: str) -> Ref:
    return Ref(Resource.PODS, name, "default")


class Reader:
    """A daemon's side: folds the mailbox until something holds."""

    def __init__(self, mailbox: KubeMailbox) -> None:
        self._mailbox = mailbox
        self.objects: dict[Ref, KubeObject] = {}
        self.unseen: set[Ref] = set()
        self.state = ReflectorState(Resource.PODS)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, (self.objects, self.state)
            for key, value in self._mailbox.take_all(0.05).items():
                self._fold(key, value)

    def _fold(self, key: Ref | Resource, value: KubeChange | ReflectorState) -> None:
        if isinstance(value, ReflectorState):
            self.state = value
            return
        assert isinstance(key, Ref)
        self.unseen.discard(key)
        if value.value is not None:
            self.objects[key] = value.value
            return
        self.objects.pop(key, None)
        if not value.seen:
            self.unseen.add(key)

    @property
    def names(self) -> list[str]:
        return sorted(ref.name for ref in self.objects)


@pytest.fixture
def api() -> MemoryKubeApi:
    api = MemoryKubeApi()
    for name in ("one", "two", "three", "four"):
        api.put(pod(name))
    api.put(pod("elsewhere", "b"))
    return api


@pytest.fixture
def reader(api: MemoryKubeApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.setattr("felix_py.kube_api.reflector.LONGEST_RETRY_SECONDS", 0.1)
    monkeypatch.setattr("felix_py.kube_api.reflector.FIRST_RETRY_SECONDS", 0.02)
    mailbox: KubeMailbox = Mailbox()
    reflector = Reflector(api, Resource.PODS, mailbox.put, SystemClock(), Scope(node="a"))
    stop = threading.Event()
    thread = threading.Thread(target=reflector.run, args=(stop,), daemon=True)
    thread.start()
    reader = Reader(mailbox)
    reader.until(lambda: reader.state.in_sync)
    yield reader
    stop.set()
    api.close()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_what_exists_is_there_when_in_sync_and_other_nodes_pods_are_not(reader: Reader) -> None:
    assert reader.names == ["four", "one", "three", "two"]


def test_changes_and_deletions_arrive(api: MemoryKubeApi, reader: Reader) -> None:
    api.put(pod("one", label="new"))
    api.put(pod("five"))
    api.delete(ref("two"))
    reader.until(lambda: reader.names == ["five", "four", "one", "three"])
    reader.until(lambda: reader.objects[ref("one")].meta.labels == {"l": "new"})
    assert not reader.unseen


@pytest.mark.parametrize("orderly", [True, False])
def test_an_ended_watch_is_taken_up_without_a_list(
    api: MemoryKubeApi, reader: Reader, *, orderly: bool
) -> None:
    api.break_watches(orderly=orderly)
    api.delete(ref("two"))
    reader.until(lambda: "two" not in reader.names)
    assert not reader.unseen
    assert reader.state.lists == 1


def test_what_vanished_while_history_was_lost_is_gone_but_not_seen(
    api: MemoryKubeApi, reader: Reader
) -> None:
    api.faults.away = True
    reader.until(lambda: not reader.state.connected)
    api.delete(ref("two"))
    api.compact()
    api.faults.away = False
    reader.until(lambda: "two" not in reader.names and reader.state.lists == 2)
    assert reader.unseen == {ref("two")}


def test_half_of_a_list_is_told_as_unseen(api: MemoryKubeApi, reader: Reader) -> None:
    api.faults.half_lists = True
    api.compact()
    reader.until(lambda: reader.state.lists == 2)
    assert reader.unseen
    api.faults.half_lists = False
    api.compact()
    reader.until(lambda: reader.names == ["four", "one", "three", "two"])
    assert not reader.unseen


def test_a_refusal_is_told_and_got_over(api: MemoryKubeApi, reader: Reader) -> None:
    api.faults.refuse = "pods is forbidden"
    api.break_watches()
    reader.until(lambda: "pods is forbidden" in reader.state.why)
    api.faults.refuse = ""
    reader.until(lambda: reader.state.connected)
