from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from cni import service as module
from cni.attachments import Attachments, record_of
from cni.errors import BadAnnotation
from cni.mtu import NodeMtu
from cni.naming import names_of
from cni.netconf import SUPPORTED_VERSIONS
from cni.pending import PendingDels
from cni.records import Records
from cni.request import RawRequest, Request, parse
from cni.service import Service
from cni.veth import PodVeths
from felix_py.datastore.errors import StoreAway, StoreRefused
from felix_py.datastore.memory_store import MemoryStore
from felix_py.datastore.model import HandleId, NodeName
from felix_py.kernel.errors import KernelRefused
from felix_py.kernel.model import Link
from felix_py.runtime.clock import FakeClock
from ipam.errors import BadRequest, PoolExhausted
from ipam.requests import AssignRequest, Lease, Released, ReleaseRequest
from tests.unit.cni.requests import CONTAINER, K8S_ARGS, raw


class Broken:
    """An allocator and a host without links, of which everything else fails as told."""

    def __init__(self) -> None:
        self.error: Exception = PoolExhausted("pool-1 is full")
        self.released: list[HandleId] = []
        self.link: Link | None = None
        self.removed: list[int] = []

    def assign(self, request: AssignRequest, timeout_seconds: float) -> Lease:
        raise self.error

    def release(self, request: ReleaseRequest, timeout_seconds: float) -> Released:
        if isinstance(self.error, StoreAway | StoreRefused):
            raise self.error
        self.released.append(request.handle_id)
        return Released(request.handle_id, (), endpoint_deleted=False)

    def find(self, host_link: str) -> Link | None:
        return self.link

    def vet_namespace(self, descriptor: int | None, path: str) -> int:
        return 0

    def remove(self, index: int) -> None:
        self.removed.append(index)

    def forget_connections(self, addresses: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def broken() -> Broken:
    return Broken()


@pytest.fixture
def attachments(tmp_path: Path, broken: Broken) -> Attachments:
    return Attachments(
        node=NodeName("n1"),
        addresses=broken,
        store=MemoryStore(),
        veths=cast("PodVeths", broken),
        records=Records(str(tmp_path)),
        pending=PendingDels(str(tmp_path)),
        clock=FakeClock(),
        mtus=NodeMtu(0, str(tmp_path)),
    )


@pytest.fixture
def service(attachments: Attachments) -> Service:
    return Service(attachments, lambda: None)


def _ask(service: Service, request: RawRequest) -> tuple[int, dict[str, Any]]:
    answer = service.answer(request, None)
    return answer.exit_code, json.loads(answer.text or b"{}")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PoolExhausted("x"), 101),
        (StoreAway("x"), 11),
        (KernelRefused("x", 1), 120),
        (KeyError("secret"), 999),
    ],
)
def test_whatever_goes_wrong_is_answered_in_the_specifications_form(
    service: Service, broken: Broken, error: Exception, code: int
) -> None:
    broken.error = error
    exit_code, document = _ask(service, raw(cniVersion="0.4.0"))
    assert (exit_code, document["code"], document["cniVersion"]) == (1, code, "0.4.0")
    assert "secret" not in document["msg"]


def test_nonsense_is_answered_in_our_newest_version(service: Service) -> None:
    exit_code, document = _ask(service, replace(raw(), stdin=b"nonsense"))
    assert (exit_code, document["code"]) == (1, 6)
    assert document["cniVersion"] == SUPPORTED_VERSIONS[-1]


def test_del_releases_by_handle_and_is_quiet(service: Service, broken: Broken) -> None:
    assert _ask(service, raw("DEL")) == (0, {})
    assert broken.released == [f"k8s-pod-network.{CONTAINER}"]


def test_del_with_the_store_away_is_kept_and_the_next_does_not_wait(
    service: Service, broken: Broken, attachments: Attachments
) -> None:
    broken.error = StoreAway("x")
    assert _ask(service, raw("DEL")) == (0, {})
    assert attachments.pending.stalled
    broken.error = PoolExhausted("the store would answer again")
    assert _ask(service, replace(raw("DEL"), container_id="other")) == (0, {})
    assert len(attachments.pending) == 2
    assert broken.released == []
    for pending in attachments.pending.all():
        service.settle(HandleId(pending.handle))
    assert len(broken.released) == 2
    assert len(attachments.pending) == 0


def test_del_with_a_full_store_is_kept_and_the_next_tries_for_itself(
    service: Service, broken: Broken, attachments: Attachments
) -> None:
    broken.error = StoreRefused("database space exceeded")
    assert _ask(service, raw("DEL")) == (0, {})
    broken.error = PoolExhausted("there is room again")
    assert _ask(service, replace(raw("DEL"), container_id="other")) == (0, {})
    assert len(broken.released) == 1
    assert len(attachments.pending) == 1


def test_a_link_of_another_container_is_not_deleted(service: Service, broken: Broken) -> None:
    broken.link = Link(7, "cali1", alias="k8s-pod-network.another")
    assert _ask(service, raw("DEL")) == (0, {})
    assert broken.removed == []
    broken.link = Link(7, "cali1", alias=f"k8s-pod-network.{CONTAINER}")
    _ask(service, raw("DEL"))
    assert broken.removed == [7]


def test_status_says_why_add_cannot_be_served(attachments: Attachments) -> None:
    assert _ask(Service(attachments, lambda: None), raw("STATUS")) == (0, {})
    exit_code, document = _ask(Service(attachments, lambda: "etcd is away"), raw("STATUS"))
    assert (exit_code, document["code"], document["msg"]) == (1, 50, "etcd is away")


def test_gc_is_refused_by_version(service: Service) -> None:
    assert _ask(service, raw("GC"))[1]["code"] == 1


def test_requests_wait_for_a_server_that_starts_but_not_for_ever(
    attachments: Attachments, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = cast("FakeClock", attachments.clock)
    monkeypatch.setattr(module, "sleep", clock.advance)
    answers = iter(["not yet", "not yet", None])
    started = Service(attachments, lambda: next(answers, "away again"))
    _ask(started, raw("DEL"))
    assert clock.now() == pytest.approx(2 * module.START_POLL_SECONDS)
    _ask(started, raw("DEL"))
    assert clock.now() == pytest.approx(2 * module.START_POLL_SECONDS)
    never = Service(attachments, lambda: "not yet")
    _ask(never, raw("DEL"))
    assert clock.now() == pytest.approx(module.START_SECONDS, abs=1)


def test_json_nested_beyond_reason_is_not_decoded(service: Service) -> None:
    _, document = _ask(service, replace(raw(), stdin=b'{"cniVersion":' + b"[" * 200_000))
    assert document["code"] == 6


@pytest.mark.parametrize(
    ("error", "code"), [(BadRequest("too many keys"), 7), (OSError(28, "No space left"), 5)]
)
def test_what_the_request_or_the_disk_cannot_bear_has_a_code_of_its_own(
    service: Service, broken: Broken, error: Exception, code: int
) -> None:
    broken.error = error
    assert _ask(service, raw())[1]["code"] == code


def test_a_del_without_arguments_waits_for_the_pods_link(
    service: Service, attachments: Attachments
) -> None:
    added = parse(raw(args=K8S_ARGS))
    names = names_of(added, NodeName("n1"))
    attachments.records.write(record_of(added, names, ()))
    held: list[str] = []

    @contextmanager
    def hold(*keys: str) -> Iterator[None]:
        held.extend(keys)
        yield

    service._locks.hold = hold  # type: ignore[method-assign]
    _ask(service, raw("DEL"))
    assert f"link {names.host_link}" in held


class Kubernetes:
    """Pods of which each asks for the impossible."""

    def __init__(self) -> None:
        self.asked = 0
        self.complaints: list[Exception] = []

    def know(self, request: Request) -> Request:
        """The pod's annotation is no good."""
        self.asked += 1
        raise BadAnnotation("annotation x: is no list")

    def complain(self, request: Request, error: Exception) -> None:
        """The pod is told."""
        self.complaints.append(error)


def test_add_alone_asks_kubernetes_and_tells_the_pod(attachments: Attachments) -> None:
    pods = Kubernetes()
    service = Service(attachments, lambda: None, pods)
    exit_code, document = _ask(service, raw(args=K8S_ARGS))
    assert (exit_code, document["code"]) == (1, 7)
    assert document["msg"] == "annotation x: is no list"
    assert [str(error) for error in pods.complaints] == ["annotation x: is no list"]
    assert _ask(service, raw("DEL", args=K8S_ARGS)) == (0, {})
    assert _ask(service, raw("CHECK", args=K8S_ARGS, prevResult={}))[1]["code"] == 3
    assert (pods.asked, len(pods.complaints)) == (1, 1)
