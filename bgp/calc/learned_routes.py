"""Pure: received paths to wanted routes, with every refusal named. The kernel's guard.

Whatever a peer sends, a route is wanted only inside a pool (or a range the operator allows), never as
default route unless asked for, and inside one of our own blocks only as the single address that etcd's
block gives to the very node the path comes from. Loops are dropped as RFC 4271 (9.1.2) and RFC 4456
(section 8) say; ExaBGP itself checks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple

from bgp.calc.best_path import Candidate, best
from bgp.calc.terms import MAX_NEXT_HOPS, Range, Terms, needs_tunnel, rank
from bgp.model import IPAddress, IPNetwork, Path, Peering
from felix_py.datastore.model import Block, NodeName


class Refusal(Enum):
    """Why a path is not used; the value is for people and metrics."""

    DEFAULT_ROUTE = "a default route"
    OUTSIDE_POOLS = "outside pools"
    OUR_BLOCK = "our own block, or part of it that etcd does not give to the announcing node"
    OVER_LIMIT = "over the peer's prefix limit"
    AS_LOOP = "our own AS in the AS_PATH"
    OWN_ORIGIN = "our own ORIGINATOR_ID or CLUSTER_ID"
    FIRST_AS = "the AS_PATH of an external peer is empty"
    NEXT_HOP_SELF = "the next hop is this node"
    NEXT_HOP_UNUSABLE = "the next hop is no global unicast address of the prefix's family"
    FELIX_WRITES_IT = "felix writes this route"
    NEEDS_TUNNEL = "the pool wants a tunnel there, and etcd names no node that has the prefix"


class Decision(NamedTuple):
    """What becomes of one prefix. No next hops: no route. The next hops are sorted."""

    next_hops: tuple[IPAddress, ...] = ()
    refused: tuple[tuple[IPAddress, Refusal], ...] = ()
    """(peer, reason) of each path not used for a reason of its own, by peer."""


def decide(prefix: IPNetwork, candidates: Sequence[Candidate], terms: Terms) -> Decision:
    """The decision for one prefix, a function of its paths and the terms alone."""
    version, length = prefix.version, prefix.prefixlen
    first = int(prefix.network_address)
    where = terms.range_of(version, first, length)
    reason = _refuse_prefix(prefix, where, terms)
    block = None if reason is not None else terms.own_block(version, first, length)
    if len(candidates) == 1:
        [(peering, path)] = candidates
        why = reason or _judge(prefix, candidates[0], where, block, terms)
        return Decision((path.next_hop,)) if why is None else Decision((), ((peering.peer, why),))
    usable: list[Candidate] = []
    refused: list[tuple[IPAddress, Refusal]] = []
    for candidate in candidates:
        why = reason or _judge(prefix, candidate, where, block, terms)
        if why is None:
            usable.append(candidate)
        else:
            refused.append((candidate[0].peer, why))
    if len(refused) > 1:
        refused.sort(key=lambda item: (item[0].version, int(item[0])))
    return Decision(_next_hops(usable, terms), tuple(refused))


def _next_hops(usable: list[Candidate], terms: Terms) -> tuple[IPAddress, ...]:
    if not usable:
        return ()
    chosen = {path.next_hop for _, path in best(usable, multipath=terms.policy.multipath)}
    return tuple(sorted(chosen, key=int)[:MAX_NEXT_HOPS])


def _refuse_prefix(prefix: IPNetwork, where: Range | None, terms: Terms) -> Refusal | None:
    if prefix.prefixlen == 0:
        return None if terms.policy.accept_default_route else Refusal.DEFAULT_ROUTE
    if where is None:
        return Refusal.OUTSIDE_POOLS
    if where.pool is not None and terms.felix.writes(prefix, where.pool):
        return Refusal.FELIX_WRITES_IT
    return None


def _judge(
    prefix: IPNetwork,
    candidate: Candidate,
    where: Range | None,
    block: Block | None,
    terms: Terms,
) -> Refusal | None:
    peering, path = candidate
    if terms.limits:
        limit = terms.limits.get(peering.peer)
        if limit is not None and rank(prefix) > limit:
            return Refusal.OVER_LIMIT
    if path.as_path.count(peering.local_as) > peering.allowed_local_as:
        return Refusal.AS_LOOP
    if peering.external and not path.as_path:
        return Refusal.FIRST_AS
    if (path.originator_id or path.cluster_list) and _is_own(path, peering, terms):
        return Refusal.OWN_ORIGIN
    next_hop = path.next_hop
    if next_hop in terms.own_addresses:
        return Refusal.NEXT_HOP_SELF
    if next_hop.version != prefix.version or not is_unicast(next_hop):
        return Refusal.NEXT_HOP_UNUSABLE
    if block is not None and not _is_borrowed(prefix, candidate, block, terms):
        return Refusal.OUR_BLOCK
    pool = None if where is None else where.pool
    if pool is not None and needs_tunnel(pool, next_hop, terms.local_subnets):
        owner = terms.felix.owner_of(prefix, pool)
        return Refusal.NEEDS_TUNNEL if owner is None else None
    return None


@lru_cache(maxsize=4096)
def is_unicast(address: IPAddress) -> bool:
    """An address that a neighbour may have and that says by itself who that is.

    A link-local one would need its link beside it; FRR without an IPv6 address says ::ffff:a.b.c.d.
    """
    if isinstance(address, IPv6Address) and (address.is_link_local or address.ipv4_mapped):
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_multicast)


def _is_own(path: Path, peering: Peering, terms: Terms) -> bool:
    """RFC 4456, section 8: what we said, or reflected, comes back."""
    if path.originator_id and path.originator_id == str(peering.router_id):
        return True
    return bool(terms.cluster_id) and terms.cluster_id in path.cluster_list


def _is_borrowed(prefix: IPNetwork, candidate: Candidate, block: Block, terms: Terms) -> bool:
    """A single address of our block that etcd says the announcing node holds."""
    if prefix.prefixlen != prefix.max_prefixlen:
        return False
    index = block.allocations[int(prefix.network_address) - int(block.cidr.network_address)]
    if index is None:
        return False
    holder = block.attributes[index].secondary.get("node")
    if holder is None or holder == terms.me:
        return False
    peering, path = candidate
    return _comes_from(path, peering, NodeName(holder), terms)


def _comes_from(path: Path, peering: Peering, node: NodeName, terms: Terms) -> bool:
    """Whether this node originated the path: by next hop, by sender, by originator, by origin AS.

    A router that sets itself as next hop leaves the origin AS as the only trace of what came in by
    eBGP; it is believed where nothing else names a node of ours. What a peer of our own AS originated
    itself has no AS_PATH.
    """
    for address in (path.next_hop, peering.peer):
        at = terms.node_at.get(address)
        if at is not None:
            return at == node
    if path.originator_id:
        for address, name in terms.node_at.items():
            if str(address) == path.originator_id:
                return name == node
    return bool(path.as_path) and path.as_path[-1] == terms.as_numbers.get(node)
