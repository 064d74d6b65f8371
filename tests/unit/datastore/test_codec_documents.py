"""Documents we write: new ones as Calico would, changed ones with everything else kept."""

from __future__ import annotations

import json

import pytest

from felix_py.datastore import codec
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Kind
from felix_py.runtime.errors import RefusedError

WHEN = "2026-08-22T10:00:00Z"


def test_a_new_endpoint_has_calicos_order_and_escapes() -> None:
    key = ResourceKey(Kind.WORKLOAD_ENDPOINT, "w-k8s-p-eth0", "default")
    spec = {"ipNetworks": ["10.0.0.1/32"], "node": "w", "orchestrator": "k8s", "future": 1}
    raw = codec.render_new(key, spec, uid="u", created_at=WHEN, labels={"b": "2", "a": "x&y"})
    assert raw == (
        b'{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":'
        b'"w-k8s-p-eth0","namespace":"default","uid":"u","creationTimestamp":"2026-08-22T10:00:00Z",'
        b'"labels":{"a":"x\\u0026y","b":"2"}},"spec":{"orchestrator":"k8s","node":"w",'
        b'"ipNetworks":["10.0.0.1/32"],"future":1}}'
    )


def test_a_new_node_always_has_a_status() -> None:
    raw = codec.render_new(ResourceKey(Kind.NODE, "n"), {}, uid="u", created_at=WHEN)
    assert raw.endswith(b'"spec":{},"status":{}}')


def test_a_change_keeps_all_that_it_does_not_name() -> None:
    stored = json.dumps(
        {
            "kind": "Node",
            "apiVersion": "projectcalico.org/v3",
            "metadata": {
                "name": "n",
                "resourceVersion": "5",
                "finalizers": ["x"],
                "labels": {"a": "1"},
            },
            "spec": {
                "bgp": {"ipv4Address": "192.0.2.1/24", "future": 1},
                "orchRefs": [1],
                "gone": 2,
            },
            "status": {"wireguardPublicKey": "k"},
            "more": True,
        }
    ).encode()
    changed = json.loads(
        codec.rewrite(
            stored,
            spec={"bgp": {"ipv4IPIPTunnelAddr": "10.0.0.1"}, "gone": None},
            labels={"b": "2"},
            annotations={"why": "<"},
        )
    )
    assert changed["metadata"] == {
        "name": "n",
        "finalizers": ["x"],
        "labels": {"a": "1", "b": "2"},
        "annotations": {"why": "<"},
    }
    assert changed["spec"] == {
        "bgp": {"ipv4Address": "192.0.2.1/24", "future": 1, "ipv4IPIPTunnelAddr": "10.0.0.1"},
        "orchRefs": [1],
    }
    assert changed["status"] == {"wireguardPublicKey": "k"}
    assert changed["more"] is True


def test_none_removes_inside_a_mapping_and_an_emptied_mapping_goes() -> None:
    stored = b'{"kind":"Node","spec":{"bgp":{"ipv4IPIPTunnelAddr":"10.0.0.1"}}}'
    changed = json.loads(codec.rewrite(stored, spec={"bgp": {"ipv4IPIPTunnelAddr": None}}))
    assert changed["spec"] == {}
    assert changed["apiVersion"] == "projectcalico.org/v3"


def test_labels_can_be_removed() -> None:
    stored = b'{"metadata":{"labels":{"a":"1"}},"spec":{}}'
    assert "labels" not in json.loads(codec.rewrite(stored, labels={"a": None}))["metadata"]


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"\xff"])
def test_what_is_no_object_cannot_be_changed(raw: bytes) -> None:
    with pytest.raises(RefusedError):
        codec.rewrite(raw)
