from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import structlog

from cni.errors import BadAnnotation, PodGone, TryAgain, code_of
from cni.events import AGAIN_SECONDS, MAX_WAITING, Events
from cni.pods import MAX_DIRECT_READS, KnownPods
from cni.request import Pod as Asked
from felix_py.kube_api.memory_api import MemoryKubeApi
from felix_py.kube_api.model import Ref, Resource, ref_of
from felix_py.kube_api.reflector import KubeChange, ReflectorState
from felix_py.runtime.clock import FakeClock
from felix_py.runtime.errors import TransientError
from ipam.errors import AddressTaken
from tests.unit.cni.kube import namespace, pod
from tests.unit.cni.requests import K8S_ARGS, request

ADD = request(args=K8S_ARGS)
BAD = {"cni.projectcalico.org/ipAddrs": "10.244.0.9"}


class World:
    """An API server, what a node remembers of it, and the thread that writes events."""

    def __init__(self) -> None:
        self.api, self.clock = MemoryKubeApi(), FakeClock()
        self.events = Events(self.api, self.clock)
        self.pods = KnownPods(self.api, self.events)
        self.api.put(pod())
        self.api.put(namespace())

    def remember(self) -> None:
        """As a reflector does."""
        for value in (pod(), namespace()):
            self.pods.put(ref_of(value), KubeChange(value))

    def written(self) -> list[str]:
        """The reasons of all events, after the thread had its turn."""
        stop = threading.Event()
        thread = threading.Thread(target=self.events.run, args=(stop,))
        thread.start()
        while self.events._waiting:
            stop.wait(0.005)
        stop.set()
        thread.join()
        return [note.reason for note in self.api.events]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("cni.events.IDLE_SECONDS", 0.01)
    with structlog.testing.capture_logs():
        yield World()


def test_a_pod_that_is_known_starts_with_the_api_server_away(world: World) -> None:
    world.remember()
    world.api.faults.away = True
    facts = world.pods.know(ADD).facts
    assert facts is not None
    assert facts.service_account == "builder"


def test_a_pod_that_the_watch_has_not_brought_yet_is_read(world: World) -> None:
    facts = world.pods.know(ADD).facts
    assert facts is not None
    assert facts.uid == "u"


def test_a_pod_that_is_not_known_cannot_start_with_the_api_server_away(world: World) -> None:
    world.api.faults.away = True
    with pytest.raises(TryAgain, match=r"pods default/nginx-1 is not known.*API server") as refused:
        world.pods.know(ADD)
    assert code_of(refused.value) == 11


def test_an_older_pod_of_the_name_is_not_taken_for_the_new_one(world: World) -> None:
    old = pod(uid="older", annotations=BAD)
    world.remember()
    world.pods.put(ref_of(old), KubeChange(old))
    facts = world.pods.know(ADD).facts
    assert facts is not None
    assert facts.uid == "u"
    world.api.put(old)
    with pytest.raises(PodGone, match="uid u is not there") as refused:
        world.pods.know(ADD)
    assert code_of(refused.value) == 11


def test_a_static_pod_is_known_by_its_mirror(world: World) -> None:
    world.api.put(pod(uid="mirror", annotations={"kubernetes.io/config.hash": "u"}))
    facts = world.pods.know(ADD).facts
    assert facts is not None
    assert facts.uid == "mirror"


def test_what_is_gone_is_forgotten(world: World) -> None:
    world.remember()
    ref = Ref(Resource.PODS, "nginx-1", "default")
    world.pods.put(ref, KubeChange(None))
    world.api.delete(ref)
    with pytest.raises(PodGone):
        world.pods.know(ADD)
    assert world.pods.report() == {"pods": 0, "namespaces": 1, "connected": False}


def test_without_a_pod_nobody_is_asked(world: World) -> None:
    world.api.faults.away = True
    plain = request()
    assert world.pods.know(plain) is plain


def test_questions_to_a_hanging_api_server_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cni.pods.DIRECT_READ_SECONDS", 0.01)
    world.api.faults.delay = 0.3
    errors: list[TransientError] = []

    def ask() -> None:
        try:
            world.pods.know(ADD)
        except TransientError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(MAX_DIRECT_READS + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    world.remember()
    assert world.pods.know(ADD).facts is not None


def test_a_broken_watch_is_named_and_is_no_fault_while_it_works(world: World) -> None:
    assert world.pods.warnings() == []
    away = ReflectorState(Resource.PODS, in_sync=True, why="connection refused")
    world.pods.put(Resource.PODS, away)
    [warning] = world.pods.warnings()
    assert "connection refused" in warning


def test_a_node_is_not_ready_before_its_pods_were_listed_once(world: World) -> None:
    assert world.pods.why_not() == "Kubernetes' pods were not listed yet"
    refused = ReflectorState(Resource.PODS, why="pods is forbidden")
    world.pods.put(Resource.PODS, refused)
    assert world.pods.why_not() == "Kubernetes' pods were not listed yet: pods is forbidden"
    for kind in (Resource.PODS, Resource.NAMESPACES):
        assert world.pods.why_not() is not None
        world.pods.put(kind, ReflectorState(kind, in_sync=True, connected=False, why="away"))
    assert world.pods.why_not() is None


def test_whoever_asks_for_the_impossible_gets_an_event(world: World) -> None:
    world.remember()
    world.pods.complain(ADD, AddressTaken("10.244.0.9 is held by another handle"))
    world.pods.complain(ADD, BadAnnotation("annotation x: is no list"))
    assert world.written() == ["AddressTaken", "BadAnnotation"]
    note = world.api.events[0]
    assert (note.about, note.uid) == (Ref(Resource.PODS, "nginx-1", "default"), "u")
    assert note.message == "10.244.0.9 is held by another handle"


def test_what_a_repeated_add_finds_is_said_once_a_minute(world: World) -> None:
    for _ in range(3):
        world.pods.complain(ADD, AddressTaken("taken"))
    assert world.written() == ["AddressTaken"]
    world.clock.advance(AGAIN_SECONDS)
    world.pods.complain(ADD, AddressTaken("taken"))
    assert world.written() == ["AddressTaken"] * 2


def test_what_is_nobodys_fault_is_no_event(world: World) -> None:
    world.pods.complain(ADD, TryAgain("etcd is away"))
    world.pods.complain(ADD, ValueError("a fault of ours"))
    world.pods.complain(request(), AddressTaken("taken"))
    assert world.written() == []


def test_a_limit_that_cannot_be_meant_is_an_event_and_no_refusal(world: World) -> None:
    slip = pod(annotations={"kubernetes.io/ingress-bandwidth": "fast"})
    world.remember()
    world.pods.put(ref_of(slip), KubeChange(slip))
    facts = world.pods.know(ADD).facts
    assert facts is not None
    assert facts.wishes.qos == {}
    assert world.written() == ["LimitsIgnored"]


def test_an_add_never_waits_for_events(world: World) -> None:
    world.api.faults.delay = 60.0
    for number in range(MAX_WAITING + 10):
        world.events.complain(Asked("default", f"p{number}"), "u", AddressTaken("taken"))
    assert world.events.dropped == 10


def test_events_that_are_refused_are_told_in_the_status(world: World) -> None:
    world.api.faults.refuse = "events is forbidden"
    world.pods.complain(ADD, AddressTaken("taken"))
    assert world.written() == []
    assert any("events is forbidden" in warning for warning in world.pods.warnings())


def test_an_event_outlives_a_broken_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cni.events.FIRST_RETRY_SECONDS", 0.001)
    world.api.faults.lose_response = 1
    world.pods.complain(ADD, AddressTaken("taken"))
    assert world.written()[-1] == "AddressTaken"
