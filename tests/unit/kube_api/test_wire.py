"""JSON of the Kubernetes API to values, and what we write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from felix_py.kube_api import wire, wire_writes
from felix_py.kube_api.model import ContainerPort, EventNote, Lease, Meta, Pod, Ref, Resource
from felix_py.kube_api.port import MAX_MESSAGE_CHARACTERS, Changed, Gone

POD: dict[str, Any] = {
    "metadata": {
        "name": "web-1",
        "generateName": "web-",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"app": "web"},
        "annotations": None,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "builder",
        "containers": [
            {"name": "a", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]},
            {"name": "b", "ports": None},
            {"name": "c", "ports": [{"containerPort": 53, "hostPort": 5353, "protocol": "UDP"}]},
        ],
    },
    "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
}
EXPECTED = Pod(
    Meta(
        "web-1",
        "shop",
        "u",
        "7",
        labels={"app": "web"},
        generate_name="web-",
    ),
    node="n1",
    service_account="builder",
    ports=(ContainerPort(80, "TCP", "http"), ContainerPort(53, "UDP", host_port=5353)),
)
NOTE = EventNote(Ref(Resource.PODS, "web-1", "shop"), "u", "AddressTaken", "taken", "felix-py-cni")


def _line(kind: str, value: object) -> bytes:
    return json.dumps({"type": kind, "object": value}).encode()


def test_a_pod_is_read_as_far_as_we_use_it() -> None:
    assert wire.decode(Resource.PODS, json.dumps(POD).encode()) == EXPECTED


def test_a_page_says_where_the_next_one_is() -> None:
    page = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [POD]}
    found = wire.decode_page(Resource.PODS, json.dumps(page).encode())
    assert found == ([EXPECTED], "9", "more")
    empty = {"metadata": {"resourceVersion": "9"}, "items": None}
    assert wire.decode_page(Resource.PODS, json.dumps(empty).encode()) == ([], "9", "")


def test_a_watch_tells_of_changes_deletions_and_progress() -> None:
    batch = wire.decode_watch_line(Resource.PODS, _line("MODIFIED", POD))
    assert (batch.events, batch.version) == ((Changed(EXPECTED),), "7")
    batch = wire.decode_watch_line(Resource.PODS, _line("DELETED", POD))
    assert batch.events == (Gone(Ref(Resource.PODS, "web-1", "shop"), EXPECTED),)
    bookmark = {"metadata": {"resourceVersion": "12"}}
    batch = wire.decode_watch_line(Resource.PODS, _line("BOOKMARK", bookmark))
    assert (batch.events, batch.version) == ((), "12")


def test_a_watchs_own_error_has_its_code() -> None:
    gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
    with pytest.raises(wire.WatchFailed, match="too old") as failed:
        wire.decode_watch_line(Resource.PODS, _line("ERROR", gone))
    assert failed.value.code == 410


@pytest.mark.parametrize("text", [b"", b"[]", b"nonsense", b'{"metadata": {"name": 7}}'])
def test_what_is_no_answer_is_said(text: bytes) -> None:
    with pytest.raises(wire.BadAnswer):
        wire.decode(Resource.PODS, text)
    with pytest.raises(wire.BadAnswer):
        wire.decode_watch_line(Resource.PODS, text)


def test_the_same_news_is_the_same_event() -> None:
    again = EventNote(NOTE.about, "u", "AddressTaken", "taken", "felix-py-cni")
    other = EventNote(NOTE.about, "another", "AddressTaken", "taken", "felix-py-cni")
    assert wire_writes.event_name(NOTE) == wire_writes.event_name(again)
    assert wire_writes.event_name(NOTE) != wire_writes.event_name(other)


def test_a_long_message_is_cut_to_what_the_api_server_takes() -> None:
    long = EventNote(NOTE.about, "u", "AddressTaken", "x" * 5000, "felix-py-cni")
    written = json.loads(wire_writes.event_document(long, "2026-01-01T00:00:00Z"))
    assert len(written["message"]) == MAX_MESSAGE_CHARACTERS
    assert written["involvedObject"]["uid"] == "u"
    assert (written["type"], written["reason"]) == ("Warning", "AddressTaken")


def test_a_lease_survives_its_way_there_and_back() -> None:
    at = "2026-01-01T00:00:00.000000Z"
    lease = Lease("controllers", "felix-py", "pod-1", 15, at, at, 3, "42")
    assert wire.decode_lease(wire_writes.lease_document(lease)) == lease
