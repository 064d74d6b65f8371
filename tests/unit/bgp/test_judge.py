"""Deciding thousands of prefixes together gives what deciding each alone gives."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from bgp.calc.best_path import Candidate
from bgp.calc.judge import Judge
from bgp.calc.learned_routes import decide
from bgp.calc.terms import Policy, Rank, build, rank
from bgp.model import IPAddress, IPNetwork, Path
from felix_py.datastore.model import EncapMode
from tests.support.bgp_cluster import block, node, peering, pool, snapshot

PREFIXES = tuple(
    ip_network(text)
    for text in (
        "10.244.1.0/26",
        "10.244.1.5/32",
        "10.244.1.6/32",
        "10.244.2.0/26",
        "10.244.3.0/26",
        "10.245.0.0/26",
        "10.245.0.64/26",
        "10.246.0.0/26",
        "192.0.2.0/24",
        "0.0.0.0/0",
        "fd00:10::/122",
        "::/0",
    )
)
FACTS = snapshot(
    nodes=[node(f"node-{i}", f"10.0.0.{i}/24", f"fd00::{i}/64") for i in (1, 2, 3)],
    pools=[
        pool("a", "10.244.0.0/16"),
        pool("tunnel", "10.245.0.0/16", ipip_mode=EncapMode.ALWAYS),
        pool("vxlan", "10.246.0.0/16", vxlan_mode=EncapMode.ALWAYS),
        pool("six", "fd00:10::/64"),
    ],
    blocks=[
        block("10.244.1.0/26", "node-1", {"10.244.1.5": "node-2", "10.244.1.6": "node-1"}),
        block("10.245.0.0/26", "node-2"),
        block("10.246.0.0/26", "node-2"),
    ],
)
PEERS = (
    peering("10.0.0.2"),
    peering("10.0.0.3"),
    peering("10.0.0.254", peer_as=65100),
    peering("10.0.0.253", peer_as=65100, allowed_local_as=1),
)
PATHS = tuple(
    Path(ip_address(hop), as_path, originator_id=originator)
    for hop in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.9.9", "fd00::2")
    for as_path in ((), (65100,), (65100, 64512))
    for originator in ("", "10.0.0.1")
)
HEARD = st.tuples(
    st.sampled_from(PREFIXES),
    st.lists(st.tuples(st.sampled_from(PEERS), st.sampled_from(PATHS)), min_size=1, max_size=2),
)


@given(
    st.lists(HEARD, max_size=30),
    st.booleans(),
    st.sampled_from([{}, {PEERS[0].peer: rank(PREFIXES[3])}]),
)
def test_a_batch_is_decided_as_each_of_its_prefixes(
    heard: list[tuple[IPNetwork, list[Candidate]]],
    default: bool,  # noqa: FBT001  hypothesis gives it by position
    limits: dict[IPAddress, Rank],
) -> None:
    terms = build(FACTS, (), Policy(accept_default_route=default), limits)
    judge = Judge(terms)
    for prefix, candidates in heard:
        assert judge.decide(prefix, candidates) == decide(prefix, candidates, terms)
    for prefix in PREFIXES:
        assert judge.decide(prefix, ()) == decide(prefix, (), terms)
        for candidates in ([(peer, path)] for peer in PEERS for path in PATHS):
            assert judge.decide(prefix, candidates) == decide(prefix, candidates, terms)
