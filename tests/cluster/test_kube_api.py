"""The Kubernetes API behind our port: the same tests on the one in memory and on a real API server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from felix_py.kube_api import access
from felix_py.kube_api.errors import KubeAway, KubeConflict
from felix_py.kube_api.http_api import HttpKubeApi
from felix_py.kube_api.memory_api import MemoryKubeApi
from felix_py.kube_api.model import (
    EventNote,
    KubeNode,
    Lease,
    Meta,
    Namespace,
    NetworkPolicyRef,
    NodeCondition,
    Pod,
    Ref,
    Resource,
    ServiceAccount,
    ref_of,
)
from felix_py.kube_api.port import EVERYTHING, Changed, Gone, KubeApi, Scope, Watch, WatchEvent
from felix_py.kube_api.settings import KubernetesSettings
from tests.support.lone_api_server import ADMIN, LoneApiServer

pytestmark = [pytest.mark.root, pytest.mark.etcd, pytest.mark.timeout(180)]

SECONDS = 15.0
AT = "2026-11-25T12:00:00.000000Z"


class Subject:
    """The port, and another client's writes beside it."""

    def __init__(self, api: KubeApi, server: LoneApiServer | None) -> None:
        self.api, self._server = api, server

    def node(self, name: str, **labels: str) -> None:
        """A node."""
        if self._server is None:
            assert isinstance(self.api, MemoryKubeApi)
            self.api.put(KubeNode(Meta(name, labels=labels)))
        else:
            metadata = {"name": name, "labels": labels}
            self._server.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata})

    def pod(self, name: str, node: str, **labels: str) -> None:
        """A pod of the namespace default, placed on a node."""
        if self._server is None:
            assert isinstance(self.api, MemoryKubeApi)
            self.api.put(Pod(Meta(name, "default", labels=labels), node))
        else:
            self._server.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "namespace": "default", "labels": labels},
                    "spec": {"nodeName": node, "containers": [{"name": "c", "image": "x"}]},
                }
            )

    def other(self, value: Namespace | ServiceAccount | NetworkPolicyRef) -> None:
        """One of the kinds of which only the metadata is read."""
        if self._server is None:
            assert isinstance(self.api, MemoryKubeApi)
            self.api.put(value)
            return
        kinds = {
            Namespace: ("v1", "Namespace", {}),
            ServiceAccount: ("v1", "ServiceAccount", {}),
            NetworkPolicyRef: (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}},
            ),
        }
        version, kind, more = kinds[type(value)]
        metadata = {"name": value.meta.name, "labels": dict(value.meta.labels)}
        if value.meta.namespace:
            metadata["namespace"] = value.meta.namespace
        self._server.apply({"apiVersion": version, "kind": kind, "metadata": metadata, **more})

    def delete(self, ref: Ref) -> None:
        """Delete an object at once."""
        if self._server is None:
            assert isinstance(self.api, MemoryKubeApi)
            self.api.delete(ref)
        else:
            within = ["-n", ref.namespace] if ref.namespace else []
            now = ["--grace-period=0", "--force"] if ref.resource is Resource.PODS else []
            self._server.kubectl("delete", ref.resource.value, ref.name, *within, *now)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneApiServer]:
    """One API server for the module: tests use names of their own."""
    with LoneApiServer(tmp_path_factory.mktemp("api")) as made:
        yield made


@pytest.fixture(params=["memory", "real"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "memory":
        memory = MemoryKubeApi()
        yield Subject(memory, None)
        memory.close()
        return
    made: LoneApiServer = request.getfixturevalue("server")
    found = access.find(KubernetesSettings(kubeconfig=str(Path(made.kubeconfig(ADMIN)))), {})
    api = HttpKubeApi(found, SECONDS)
    yield Subject(api, made)
    api.close()


def until(watch: Watch, ref: Ref, kind: type[Changed | Gone]) -> WatchEvent:
    """The next event of a kind about an object."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        batch = watch.next(1.0)
        for event in () if batch is None else batch.events:
            about = ref_of(event.value) if isinstance(event, Changed) else event.ref
            if about == ref and isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__} of {ref}")


def test_what_was_listed_is_followed_from_there(subject: Subject) -> None:
    subject.node("one", rack="a")
    listing = subject.api.list(Resource.NODES)
    found = {ref_of(value): value for value in listing.items}
    one = found[Ref(Resource.NODES, "one")]
    assert isinstance(one, KubeNode)
    assert one.meta.labels["rack"] == "a"
    assert one.meta.uid
    watch = subject.api.watch(Resource.NODES, EVERYTHING, listing.version)
    subject.node("one", rack="b")
    event = until(watch, Ref(Resource.NODES, "one"), Changed)
    assert isinstance(event, Changed)
    assert event.value.meta.labels["rack"] == "b"
    subject.delete(Ref(Resource.NODES, "one"))
    until(watch, Ref(Resource.NODES, "one"), Gone)
    watch.close()
    assert subject.api.get(Ref(Resource.NODES, "one")) is None


def test_a_scope_is_one_nodes_pods(subject: Subject) -> None:
    subject.pod("mine", "here", app="web")
    subject.pod("theirs", "there")
    scope = Scope(node="here")
    listing = subject.api.list(Resource.PODS, scope)
    assert [value.meta.name for value in listing.items] == ["mine"]
    watch = subject.api.watch(Resource.PODS, scope, listing.version)
    subject.pod("theirs-too", "there")
    subject.pod("mine-too", "here")
    event = until(watch, Ref(Resource.PODS, "mine-too", "default"), Changed)
    assert isinstance(event, Changed)
    assert isinstance(event.value, Pod)
    assert (event.value.node, event.value.service_account) == ("here", "default")
    watch.close()
    for name in ("mine", "mine-too", "theirs", "theirs-too"):
        subject.delete(Ref(Resource.PODS, name, "default"))
    assert subject.api.get(Ref(Resource.PODS, "mine", "default")) is None


@pytest.mark.parametrize(
    "value",
    [
        Namespace(Meta("shop", labels={"tier": "web"})),
        ServiceAccount(Meta("till", "default", labels={"pci": "yes"})),
        NetworkPolicyRef(Meta("deny-all", "default", labels={"a": "b"})),
    ],
)
def test_every_kind_is_listed_with_its_labels(
    subject: Subject, value: Namespace | ServiceAccount | NetworkPolicyRef
) -> None:
    subject.other(value)
    ref = ref_of(value)
    found = {ref_of(each): each for each in subject.api.list(ref.resource).items}[ref]
    assert type(found) is type(value)
    assert value.meta.labels.items() <= found.meta.labels.items()


def test_one_condition_of_a_node_is_written_and_the_others_stay(subject: Subject) -> None:
    subject.node("two")
    for kind in ("NetworkUnavailable", "Other", "NetworkUnavailable"):
        condition = NodeCondition(kind, "True", "Because", f"{kind} it is", AT)
        assert subject.api.set_node_condition("two", condition)
    node = subject.api.get(Ref(Resource.NODES, "two"))
    assert isinstance(node, KubeNode)
    for kind in ("NetworkUnavailable", "Other"):
        found = node.condition(kind)
        assert found is not None
        assert (found.status, found.reason, found.message) == ("True", "Because", f"{kind} it is")
    assert len(node.conditions) == len({each.type for each in node.conditions})
    assert not subject.api.set_node_condition("nobody", NodeCondition("Other", "True"))
    subject.delete(Ref(Resource.NODES, "two"))


def test_a_lease_is_taken_by_one_of_two(subject: Subject) -> None:
    assert subject.api.get_lease("default", "chair") is None
    fresh = Lease("chair", "default", "one", 15, AT, AT)
    taken = subject.api.put_lease(fresh)
    with pytest.raises(KubeConflict):
        subject.api.put_lease(replace(fresh, holder="two"))
    renewed = subject.api.put_lease(replace(taken, transitions=3))
    with pytest.raises(KubeConflict):
        subject.api.put_lease(replace(taken, holder="two"))
    stored = subject.api.get_lease("default", "chair")
    assert stored is not None
    assert (stored.holder, stored.transitions, stored.version) == ("one", 3, renewed.version)


def test_an_event_on_a_pod_is_taken_however_long_it_is(subject: Subject) -> None:
    subject.pod("noted", "here")
    pod = subject.api.get(Ref(Resource.PODS, "noted", "default"))
    assert isinstance(pod, Pod)
    subject.api.note(EventNote(ref_of(pod), pod.meta.uid, "Because", "x" * 5000, "felix-py-cni"))
    subject.api.note(EventNote(ref_of(pod), pod.meta.uid, "Because", "x" * 5000, "felix-py-cni"))
    subject.delete(ref_of(pod))


def test_closing_wakes_who_waits_for_a_watch(subject: Subject) -> None:
    listing = subject.api.list(Resource.NAMESPACES)
    watch = subject.api.watch(Resource.NAMESPACES, EVERYTHING, listing.version)
    threading.Timer(0.5, watch.close).start()
    started = time.monotonic()
    try:
        while time.monotonic() - started < SECONDS:
            watch.next(SECONDS)
    except KubeAway:
        pass
    assert time.monotonic() - started < SECONDS / 2


def test_an_api_server_that_is_away_is_away_and_is_used_when_it_is_back(
    server: LoneApiServer,
) -> None:
    found = access.find(KubernetesSettings(kubeconfig=str(server.kubeconfig(ADMIN))), {})
    api = HttpKubeApi(found, 5.0)
    api.list(Resource.NODES)
    server.stop()
    with pytest.raises(KubeAway):
        api.list(Resource.NODES)
    server.start()
    api.list(Resource.NODES)
    api.close()
