"""What is another node's is known by its name or its affinity, before it is decoded."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore import concern
from felix_py.datastore.changes import Change, SyncMailbox
from felix_py.datastore.deliveries import Deliveries
from felix_py.datastore.keys import BlockKey, Key, ResourceKey
from felix_py.datastore.model import Kind, NodeName
from felix_py.datastore.store import Event, KeyValue

BLOCK = BlockKey(ip_network("10.0.0.0/26"))
NAMES = st.from_regex(r"[a-c](-{0,2}[a-c.1]){0,4}", fullmatch=True)


def endpoint(node: str, workload: str = "web-0") -> ResourceKey:
    parts = (node, "k8s", workload, "eth0")
    name = "-".join(part.replace("-", "--") for part in parts)
    return ResourceKey(Kind.WORKLOAD_ENDPOINT, name, "default")


def block(affinity: object) -> bytes:
    return json.dumps(
        {
            "cidr": "10.0.0.0/26",
            "affinity": affinity,
            "allocations": [None] * 64,
            "unallocated": list(range(64)),
            "attributes": [],
        }
    ).encode()


@given(NAMES, NAMES, NAMES)
def test_an_endpoint_concerns_its_node_and_no_other(me: str, other: str, workload: str) -> None:
    concerns = concern.of_node(NodeName(me))
    assert concerns(endpoint(me, workload), b"")
    assert concerns(endpoint(other, workload), b"") == (me == other)


@pytest.mark.parametrize("other", ["node", "node-1-k8s", "node-1-", "node-11", "node--1"])
def test_a_node_whose_name_begins_like_ours_is_another(other: str) -> None:
    assert not concern.of_node(NodeName("node-1"))(endpoint(other), b"")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (block("host:a"), True),
        (block("host:b"), False),
        (block("host:a-b"), False),
        (block("virtual:load-balancer"), False),
        (block(None), False),
        (rb'{"affinity":"\u0068ost:a"}', True),
        (b'{"attributes":[{"secondary":{"affinity":"host:b"}}],"affinity":"host:a"}', True),
        (block(7), True),
        (b"\xff", True),
        (b"{", True),
    ],
)
def test_a_block_concerns_whoever_it_is_affine_to_or_who_must_report_it(
    raw: bytes, *, expected: bool
) -> None:
    assert concern.of_node(NodeName("a"))(BLOCK, raw) is expected


def test_everything_else_concerns_every_node() -> None:
    assert concern.of_node(NodeName("a"))(ResourceKey(Kind.NODE, "b"), b"{}")


def test_a_block_that_becomes_anothers_is_delivered_as_deleted_once() -> None:
    mailbox: SyncMailbox = SyncMailbox()
    deliveries = Deliveries(mailbox, concern.of_node(NodeName("a")))

    def told(revision: int, affinity: str) -> dict[Key, Change]:
        item = KeyValue(BLOCK.path, block(affinity), 1, revision)
        deliveries.apply(Event(BLOCK.path, item, revision))
        return mailbox.take_all(0.0)  # type: ignore[return-value]

    assert told(1, "host:b") == {}
    stored = told(2, "host:a")[BLOCK].stored
    assert stored is not None
    assert stored.mod_revision == 2
    assert told(3, "host:b") == {BLOCK: Change(None)}
    assert told(4, "host:b") == {}
    assert deliveries.replace([KeyValue(BLOCK.path, block("host:a"), 1, 5)]) == 1
    assert deliveries.replace([KeyValue(BLOCK.path, block("host:b"), 1, 6)]) == 1
