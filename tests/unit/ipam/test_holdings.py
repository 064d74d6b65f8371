"""The index says what a walk through all known blocks would say, whatever became of them."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from felix_py.datastore.model import Attribute, Block, HandleId, IPNetwork
from ipam import block as blocks
from ipam.holdings import Holdings

CIDRS = [ip_network(f"10.0.0.{4 * number}/30") for number in range(4)]
HANDLES = [HandleId(f"net.{number}") for number in range(5)]
AT = datetime(2026, 1, 1, tzinfo=UTC)


def block_of(cidr: IPNetwork, held: list[HandleId]) -> Block:
    made = blocks.new_block(cidr, "host:a", AT, 1)
    for handle in held:
        made, _ = blocks.assign_automatically(made, 1, Attribute(handle))
    return made


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CIDRS),
            st.none() | st.lists(st.sampled_from(HANDLES), max_size=4),
        ),
        max_size=30,
    )
)
def test_the_index_agrees_with_a_walk(
    changes: list[tuple[IPNetwork, list[HandleId] | None]],
) -> None:
    index, known = Holdings(), dict[IPNetwork, Block]()
    for cidr, held in changes:
        index.with_room[()] = {cidr: None}
        full = set(index.full)
        known.pop(cidr, None)
        if held is not None:
            known[cidr] = block_of(cidr, held)
        index.note(cidr, known.get(cidr))
        for handle in HANDLES:
            walked = {c for c, block in known.items() if blocks.ordinals_of(block, handle)}
            assert set(index.of(handle)) == walked
        assert index.full == {c for c, block in known.items() if not block.unallocated}
        assert bool(index.with_room) is (index.full == full), "forgotten when a block filled"
