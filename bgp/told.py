"""Pure: which peers told of an address, and what became of it; the answer to a question, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network

from bgp.calc.best_path import Candidate
from bgp.calc.learned_routes import Decision
from bgp.model import IPAddress, IPNetwork
from bgp.rib_in import RibIn

MAX_PATHS = 200
"""An answer's bound: an address is covered by few prefixes, but perhaps told by many peers."""


def told(
    address: IPAddress, rib: RibIn, decision: Callable[[IPNetwork], Decision]
) -> list[dict[str, object]]:
    """Every path to a prefix that covers the address, the longest prefix first."""
    found: list[dict[str, object]] = []
    for length in range(address.max_prefixlen, -1, -1):
        prefix = ip_network(f"{address}/{length}", strict=False)
        candidates: Sequence[Candidate] = rib.candidates(prefix)
        if candidates:
            decided = decision(prefix)
            found += [_path(prefix, each, decided, rib) for each in candidates]
        if len(found) >= MAX_PATHS:
            break
    return found[:MAX_PATHS]


def tellers(pool: IPNetwork | None, rib: RibIn) -> list[str]:
    """Peers that told at least one prefix inside a pool: those that pass pods' prefixes on at all."""
    if pool is None:
        return []
    return [
        str(address)
        for address, peer in rib.peers().items()
        if any(_inside(prefix, pool) for prefix in peer.paths)
    ]


def _inside(prefix: IPNetwork, pool: IPNetwork) -> bool:
    return (
        prefix.version == pool.version
        and prefix.prefixlen >= pool.prefixlen
        and prefix.network_address in pool
    )


def _path(
    prefix: IPNetwork, candidate: Candidate, decided: Decision, rib: RibIn
) -> dict[str, object]:
    peering, path = candidate
    peer = rib.peers().get(peering.peer)
    refused = dict(decided.refused).get(peering.peer)
    return {
        "prefix": str(prefix),
        "peer": str(peering.peer),
        "source": peering.source,
        "nextHop": str(path.next_hop),
        "asPath": list(path.as_path),
        "stale": peer is not None and prefix in peer.stale,
        "used": refused is None and path.next_hop in decided.next_hops,
        "refused": "" if refused is None else refused.value,
    }
