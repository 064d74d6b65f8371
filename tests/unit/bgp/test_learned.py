"""Deciding prefix by prefix gives the same as deciding everything."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bgp.calc.learned_routes import Refusal
from bgp.calc.terms import Policy
from bgp.learned import Learned, NextHops
from bgp.model import IPNetwork, PathsReceived, Peering
from bgp.rib_in import RibIn
from bgp.state import Dirty, Snapshot
from tests.support.bgp_cluster import block, node, path, peering, pool, snapshot

NODES = tuple(node(f"node-{i}", f"10.0.0.{i}/24") for i in (1, 2, 3))
PEERS = ("10.0.0.2", "10.0.0.3", "10.0.0.254")
PREFIXES = [
    *(f"10.244.{i}.0/26" for i in range(6)),
    "10.244.1.5/32",
    "10.244.1.6/32",
    "10.244.1.0/27",
    "10.244.0.0/16",
    "0.0.0.0/0",
    "192.0.2.0/24",
]


def facts(holder: str | None = "node-2", pools: int = 1, *, ours: bool = True) -> Snapshot:
    held = {"10.244.1.5": holder} if holder else {}
    return snapshot(
        nodes=NODES,
        pools=[pool("a", "10.244.0.0/16")][:pools],
        blocks=[block("10.244.1.0/26", "node-1", held)] if ours else [],
    )


def peerings(limit: int = 100, allowed: int = 0) -> list[Peering]:
    return [
        peering(
            peer,
            peer_as=65100 if peer == "10.0.0.254" else 64512,
            max_prefixes=limit,
            allowed_local_as=allowed,
        )
        for peer in PEERS
    ]


def from_nothing(rib: RibIn, now: Snapshot) -> dict[IPNetwork, NextHops]:
    fresh = Learned(rib, Policy())
    rib.take_dirty()
    fresh.update(now, Dirty(everything_learned=True), ())
    return dict(fresh.next_hops)


Steps = list[tuple[str, Any]]
STEP = st.one_of(
    st.tuples(
        st.just("update"),
        st.tuples(
            st.sampled_from(PEERS),
            st.sets(st.sampled_from(PREFIXES), max_size=4),
            st.sets(st.sampled_from(PREFIXES), max_size=4),
            st.sampled_from([(), (65100,), (65100, 64512)]),
        ),
    ),
    st.tuples(st.just("holder"), st.sampled_from([None, "node-2", "node-3"])),
    st.tuples(st.just("ours"), st.booleans()),
    st.tuples(st.just("pools"), st.integers(0, 1)),
    st.tuples(st.just("limit"), st.integers(0, 5)),
    st.tuples(st.just("allowed"), st.integers(0, 1)),
)


@given(st.lists(STEP, max_size=12))
def test_deciding_what_is_dirty_equals_deciding_everything(steps: Steps) -> None:
    holder: str | None = "node-2"
    ours, pools, limit, allowed = True, 1, 100, 0
    rib = RibIn()
    learned = Learned(rib, Policy())
    kernel: dict[IPNetwork, NextHops] = {}
    for kind, value in [("limit", 100), *steps]:
        dirty = Dirty()
        if kind == "update":
            peer, announced, withdrawn, as_path = value
            paths = tuple(path(prefix, peer, *as_path) for prefix in sorted(announced))
            gone = tuple(ip_network(prefix) for prefix in sorted(withdrawn))
            rib.handle(PathsReceived(ip_address(peer), gone, paths), 0)
        elif kind == "holder":
            holder, dirty = (
                value,
                Dirty(own_blocks={ip_network("10.244.1.0/26")} if ours else set()),
            )
        elif kind == "ours":
            ours, dirty = value, Dirty(everything_learned=True)
        elif kind == "pools":
            pools, dirty = value, Dirty(everything_learned=True)
        elif kind == "limit":
            limit = value
        else:
            allowed = value
        sessions = peerings(limit, allowed)
        rib.expect(sessions, 0)
        now = facts(holder, pools, ours=ours)
        for prefix, next_hops in learned.update(now, dirty, ()).items():
            if next_hops:
                kernel[prefix] = next_hops
            else:
                del kernel[prefix]
        assert kernel == learned.next_hops
        assert kernel == from_nothing(rib, now)


def test_a_peer_over_its_limit_keeps_its_first_prefixes_and_is_named() -> None:
    rib = RibIn()
    learned = Learned(rib, Policy())
    sessions = [peering("10.0.0.2", max_prefixes=2)]
    rib.expect(sessions, 0)
    prefixes = [f"10.244.{i}.0/26" for i in (5, 4, 3, 2)]
    said = tuple(path(prefix, "10.0.0.2") for prefix in prefixes)
    rib.handle(PathsReceived(ip_address("10.0.0.2"), (), said), 0)
    learned.update(facts(), Dirty(), ())
    assert sorted(map(str, learned.next_hops)) == ["10.244.2.0/26", "10.244.3.0/26"]
    counts, examples = learned.refusals()
    assert counts == {Refusal.OVER_LIMIT: 2}
    assert examples[Refusal.OVER_LIMIT] == [
        "10.244.5.0/26 from 10.0.0.2",
        "10.244.4.0/26 from 10.0.0.2",
    ]
    assert list(learned.over_limit()) == [ip_address("10.0.0.2")]
