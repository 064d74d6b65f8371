"""What lives is asked for as the ADD that made it asked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import msgspec
import pytest

from cni.attachments import record_of
from cni.endpoint import Birth, render_endpoint
from cni.living import request_for
from cni.naming import names_of
from cni.request import Request
from felix_py.datastore.model import NodeName
from felix_py.datastore.store import KeyValue
from ipam.requests import AssignRequest
from tests.unit.cni.requests import CONTAINER, K8S_ARGS, request

NODE = NodeName("worker-1")
AT = datetime(2026, 11, 21, 20, 56, 20, 5, UTC)
ADDRESSES = (ip_address("10.244.0.10"),)
K8S = request(args=K8S_ARGS, policy={"type": "k8s"})
PLAIN = request()


def asked(made: Request) -> AssignRequest:
    return request_for(record_of(made, names_of(made, NODE), ADDRESSES), NODE, AT)


def rendered(one: AssignRequest, stored: KeyValue | None = None) -> bytes:
    assert one.endpoint is not None
    return one.endpoint.render(ADDRESSES, stored)


@pytest.mark.parametrize("made", [K8S, PLAIN])
def test_the_endpoint_is_the_one_that_add_wrote(made: Request) -> None:
    names = names_of(made, NODE)
    first = json.loads(render_endpoint(made, names, NODE, Birth("u", AT), (ADDRESSES, None)))
    again = json.loads(rendered(asked(made)))
    first["metadata"].pop("uid")
    again["metadata"].pop("uid")
    assert again == first
    one = asked(made)
    assert (one.handle_id, one.addresses, one.lives) == (names.handle, ADDRESSES, True)


def test_an_endpoint_that_stands_is_left_as_it_is() -> None:
    one = asked(K8S)
    assert one.endpoint is not None
    document = json.loads(rendered(one))
    document["spec"]["ports"] = [{"name": "http"}]
    document["spec"]["profiles"] = ["somebody-elses"]
    raw = json.dumps(document).encode()
    assert rendered(one, KeyValue(one.endpoint.key.path, raw, 1, 1)) == raw


def test_an_older_containers_endpoint_is_taken_over() -> None:
    one = asked(K8S)
    assert one.endpoint is not None
    document = json.loads(rendered(one))
    document["spec"] |= {"containerID": "older", "ipNetworks": ["10.244.0.99/32"], "ports": [1]}
    stored = KeyValue(one.endpoint.key.path, json.dumps(document).encode(), 1, 1)
    spec = json.loads(rendered(one, stored))["spec"]
    assert (spec["containerID"], spec["ipNetworks"]) == (CONTAINER, ["10.244.0.10/32"])
    assert spec["ports"] == [1]
    nonsense = replace(stored, value=b"nonsense")
    assert json.loads(rendered(one, nonsense))["spec"]["containerID"] == CONTAINER


def test_a_record_of_an_earlier_version_is_enough() -> None:
    record = record_of(PLAIN, names_of(PLAIN, NODE), ADDRESSES)
    older = msgspec.structs.replace(record, mac="", profiles=(), labels={})
    spec = json.loads(rendered(request_for(older, NODE, AT)))["spec"]
    assert spec == json.loads(rendered(asked(PLAIN)))["spec"]
