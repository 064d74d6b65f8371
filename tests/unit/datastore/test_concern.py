"""What is another node's is known by its name or its affinity, before it is decoded whole."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore import concern
from felix_py.datastore.changes import Change, SyncMailbox
from felix_py.datastore.deliveries import Deliveries
from felix_py.datastore.keys import BlockKey, ResourceKey
from felix_py.datastore.model import Block, Invalid, Kind, NodeName
from felix_py.datastore.store import Event, KeyValue
from felix_py.datastore.territory import Holding

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
    read = concern.of_node(NodeName(me))
    assert read(endpoint(me, workload), b"") is not None
    assert (read(endpoint(other, workload), b"") is not None) == (me == other)


@pytest.mark.parametrize("other", ["node", "node-1-k8s", "node-1-", "node-11", "node--1"])
def test_a_node_whose_name_begins_like_ours_is_another(other: str) -> None:
    assert concern.of_node(NodeName("node-1"))(endpoint(other), b"") is None


@pytest.mark.parametrize(
    ("raw", "taken"),
    [
        (block("host:a"), Block),
        (block("host:b"), Holding),
        (block("host:a-b"), Holding),
        (block("virtual:load-balancer"), Holding),
        (block(None), Holding),
        (block("host:a").replace(b"host:a", rb"\u0068ost:a"), Block),
        (block(7), Invalid),
        (b"\xff", Invalid),
        (b"{", Invalid),
        (b'{"affinity":"host:b"}', Invalid),
    ],
)
def test_a_block_is_read_whole_by_its_node_and_as_a_holding_by_others(
    raw: bytes, taken: type
) -> None:
    assert type(concern.of_node(NodeName("a"))(BLOCK, raw)) is taken


def test_everything_else_concerns_every_node() -> None:
    assert concern.of_node(NodeName("a"))(ResourceKey(Kind.NODE, "b"), b"{}") is not None


def test_a_block_that_becomes_anothers_is_delivered_as_a_holding() -> None:
    mailbox: SyncMailbox = SyncMailbox()
    deliveries = Deliveries(mailbox, concern.of_node(NodeName("a")))

    def told(revision: int, affinity: str) -> object:
        item = KeyValue(BLOCK.path, block(affinity), 1, revision)
        deliveries.apply(Event(BLOCK.path, item, revision))
        change = mailbox.take_all(0.0)[BLOCK]
        assert isinstance(change, Change)
        assert change.stored is not None
        return change.stored.value

    assert told(1, "host:b") == Holding(NodeName("b"))
    assert isinstance(told(2, "host:a"), Block)
    assert told(3, "host:c") == Holding(NodeName("c"))
