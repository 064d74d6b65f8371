"""Whose a prefix is, as blocks come, change and go in any order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore import codec
from felix_py.datastore.calc.owners import Owners
from felix_py.datastore.keys import BlockKey
from felix_py.datastore.model import Block, NodeName
from felix_py.datastore.territory import (
    IPIP_TUNNEL,
    Holding,
    decode_holding,
    holding_of,
)

A, B = NodeName("a"), NodeName("b")
CIDR = ip_network("10.0.0.0/29")
GUEST = ip_network("10.0.0.3/32")
NODES = st.sampled_from(["a", "b", "c"])


def raw_block(
    affinity: str | None, allocations: list[int | None], attributes: Sequence[Mapping[str, object]]
) -> bytes:
    free = [ordinal for ordinal, index in enumerate(allocations) if index is None]
    return json.dumps(
        {
            "cidr": str(CIDR),
            "affinity": affinity,
            "allocations": allocations,
            "unallocated": free,
            "attributes": attributes,
        }
    ).encode()


ATTRIBUTES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "handle_id": st.just("h"),
            "secondary": st.fixed_dictionaries(
                {}, optional={"node": NODES, "type": st.just(IPIP_TUNNEL), "pod": st.just("p")}
            ),
        },
    ),
    max_size=4,
)


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    attributes = draw(ATTRIBUTES)
    indexes = st.sampled_from([None, *range(len(attributes))])
    allocations = draw(st.lists(indexes, min_size=8, max_size=8))
    return raw_block(draw(st.sampled_from(["host:a", "host:b", None])), allocations, attributes)


@given(blocks())
def test_a_block_read_in_part_tells_the_same_as_read_whole(raw: bytes) -> None:
    whole = codec.decode(BlockKey(CIDR), raw)
    assert isinstance(whole, Block)
    assert decode_holding(BlockKey(CIDR), raw) == holding_of(whole)


@given(st.lists(st.tuples(st.integers(0, 2), st.none() | blocks()), max_size=8))
def test_the_index_is_a_function_of_the_blocks_that_stand_now(
    story: list[tuple[int, bytes | None]],
) -> None:
    told, now = Owners(), {}
    for place, raw in story:
        cidr = ip_network((int(CIDR.network_address) + 8 * place, 29))
        now[cidr] = None if raw is None else decode_holding(BlockKey(cidr), raw)
        told.fold(cidr, now[cidr])
    afresh = Owners()
    for cidr, holding in sorted(now.items()):
        afresh.fold(cidr, holding)
    assert told.owner == afresh.owner
    assert all(told.prefixes_of(n) == afresh.prefixes_of(n) for n in map(NodeName, "abc"))


def test_a_guest_of_a_block_has_its_address_and_the_host_the_rest() -> None:
    owners = Owners()
    assert owners.fold(CIDR, Holding(A, {GUEST: B})) == {CIDR, GUEST}
    assert owners.owner == {CIDR: A, GUEST: B}
    assert owners.prefixes_of(B) == {GUEST}
    assert owners.fold(CIDR, Holding(A)) == {GUEST}
    assert owners.fold(CIDR, None) == {CIDR}
    assert owners.owner == {}


def test_a_tunnel_address_that_moved_to_another_block_is_not_lost_with_the_old_one() -> None:
    owners, other = Owners(), ip_network("10.0.0.8/29")
    old, new = ip_address("10.0.0.1"), ip_address("10.0.0.9")
    owners.fold(CIDR, Holding(A, {}, {(A, IPIP_TUNNEL): (old,)}))
    owners.fold(other, Holding(A, {}, {(A, IPIP_TUNNEL): (new,)}))
    assert owners.tunnel_addresses(A) == {IPIP_TUNNEL: {old, new}}
    owners.fold(CIDR, Holding(A))
    assert owners.tunnel_addresses(A) == {IPIP_TUNNEL: {new}}
    assert owners.tunnel_addresses(B) == {}
