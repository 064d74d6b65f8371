"""Which pools serve a request, and a pool carved into blocks in a node's own stable order. Pure.

Reference: Calico v3.32.1 `libcalico-go/lib/ipam/ipam.go` (determinePools, randomBlockGenerator).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from felix_py.datastore.model import (
    AssignmentMode,
    IPAddress,
    IPNetwork,
    IPPool,
    Node,
    NodeName,
    PoolUse,
)
from felix_py.datastore.selectors import SelectorError, parse
from ipam.errors import NoQualifiedPool

StartIndex = Callable[[NodeName, IPPool], int]
"""(node, pool) -> the index of the block at which the node begins to look for a free one."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What decides which pools serve a request; `named` pools are names or CIDRs."""

    version: int
    node: Node
    use: PoolUse = PoolUse.WORKLOAD
    named: tuple[str, ...] = ()
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Blocks of another size inside one state of a pool: their first addresses in order, and of each
    and those before it the one that reaches furthest."""

    pool_revision: int
    firsts: tuple[int, ...]
    furthest: tuple[IPNetwork, ...]

    def over(self, cidr: IPNetwork) -> IPNetwork | None:
        """One that shares addresses with this block."""
        place = bisect_right(self.firsts, int(cidr.broadcast_address))
        found = self.furthest[place - 1] if place else None
        return found if found is not None and found.overlaps(cidr) else None


def enabled(pool: IPPool, version: int | None = None) -> bool:
    """True when the pool gives out addresses at all (of this IP version)."""
    return (
        not pool.disabled
        and not pool.meta.deleting
        and pool.allocatable
        and version in (None, pool.cidr.version)
    )


def qualifying(pools: Iterable[IPPool], ask: Ask) -> tuple[IPPool, ...]:
    """The pools to assign from, in order: by name, or as the request named them.

    Raises NoQualifiedPool, saying which of Calico's filters left none.
    """
    known = tuple(pools)
    usable = sorted((p for p in known if enabled(p, ask.version)), key=lambda pool: pool.name)
    if not usable:
        raise NoQualifiedPool(f"no enabled IPv{ask.version} pool exists; create or enable one")
    chosen = (
        _named(usable, _other_family(known, ask.version), ask)
        if ask.named
        else _selected(usable, ask)
    )
    fitting = tuple(pool for pool in chosen if ask.use in pool.allowed_uses)
    if not fitting:
        raise NoQualifiedPool(
            f"no IPv{ask.version} pools match the required use {ask.use.value}: add it to"
            f" allowedUses of {', '.join(pool.name for pool in chosen)}"
        )
    return fitting


def selects_node(pool: IPPool, node: Node) -> bool:
    """True when the pool's nodeSelector matches; one that cannot be read matches nothing."""
    return _matches(pool.node_selector, node.meta.labels)


def containing(
    what: IPAddress | IPNetwork, pools: Iterable[IPPool], *, even_disabled: bool = False
) -> IPPool | None:
    """The enabled pool in which an address or a block lies."""
    first, last = _span(what)
    for pool in pools:
        low, high = _span(pool.cidr)
        inside = pool.cidr.version == what.version and low <= first and last <= high
        if inside and (even_disabled or enabled(pool)):
            return pool
    return None


def block_count(pool: IPPool) -> int:
    """How many blocks the pool holds; 0 when its blocks are larger than itself."""
    bits = pool.block_size - pool.cidr.prefixlen
    return 1 << bits if bits >= 0 else 0


def block_at(pool: IPPool, index: int) -> IPNetwork:
    """The pool's block number `index`, counted from its first address."""
    size = 1 << (pool.cidr.max_prefixlen - pool.block_size)
    return _network(pool.cidr, int(pool.cidr.network_address) + index * size, pool.block_size)


def index_of(pool: IPPool, block: IPNetwork) -> int:
    """The inverse of block_at."""
    distance = int(block.network_address) - int(pool.cidr.network_address)
    return distance >> (pool.cidr.max_prefixlen - pool.block_size)


def start_index(node: NodeName, pool: IPPool) -> int:
    """Where a node begins in a pool: stable, and far from where others do.

    Any order is legal on the wire; Calico's own is Go's math/rand seeded with FNV-1 of the name.
    """
    digest = hashlib.sha256(f"{node} {pool.cidr}".encode()).digest()
    return int.from_bytes(digest[:16], "big") % max(1, block_count(pool))


def candidates(
    pool: IPPool, start: int, reservations: Sequence[IPNetwork] = ()
) -> Iterator[IPNetwork]:
    """The pool's blocks from `start` on, around the end, without those that one reservation covers.

    Lazy, and reserved stretches are jumped over: a pool may hold millions of blocks.
    """
    total = block_count(pool)
    offset = 0
    while offset < total:
        index = (start + offset) % total
        block = block_at(pool, index)
        cover = next((net for net in reservations if _covers(net, block)), None)
        if cover is None:
            yield block
            offset += 1
        else:
            last = _span(cover)[1] - int(pool.cidr.network_address)
            step = pool.cidr.max_prefixlen - pool.block_size
            offset += min(total - 1, last >> step) - index + 1


def in_order(pool: IPPool, blocks: Iterable[IPNetwork], start: int) -> list[IPNetwork]:
    """Those of these blocks that lie in the pool with its block size, in the order of candidates."""
    total = block_count(pool)
    low, high = _span(pool.cidr)
    inside = [
        block
        for block in blocks
        if block.version == pool.cidr.version
        and block.prefixlen == pool.block_size
        and low <= int(block.network_address) <= high
    ]
    return sorted(inside, key=lambda block: (index_of(pool, block) - start) % total)


def _other_family(pools: Iterable[IPPool], version: int) -> frozenset[str]:
    others = [pool for pool in pools if pool.cidr.version != version]
    return frozenset(text for pool in others for text in (pool.name, str(pool.cidr)))


def _named(usable: Sequence[IPPool], others: frozenset[str], ask: Ask) -> list[IPPool]:
    chosen: list[IPPool] = []
    for text in ask.named:
        wanted = _cidr(text)
        found = [p for p in usable if p.name == text or (wanted is not None and p.cidr == wanted)]
        if not found and text not in others:
            raise NoQualifiedPool(
                f"the given pool {text} does not exist, or is not enabled for IPv{ask.version}"
            )
        chosen.extend(pool for pool in found if pool not in chosen)
    if not chosen:
        raise NoQualifiedPool(f"none of the given pools {', '.join(ask.named)} is IPv{ask.version}")
    return chosen


def _selected(usable: Sequence[IPPool], ask: Ask) -> list[IPPool]:
    chosen = [
        pool
        for pool in usable
        if pool.assignment_mode is AssignmentMode.AUTOMATIC
        and selects_node(pool, ask.node)
        and _matches(pool.namespace_selector, ask.namespace_labels)
    ]
    if not chosen:
        raise NoQualifiedPool(
            f"no configured IPv{ask.version} pools for node {ask.node.name}: no nodeSelector and"
            " namespaceSelector of an automatic pool matches"
        )
    return chosen


def _matches(selector: str, labels: Mapping[str, str]) -> bool:
    if not selector.strip():
        return True
    try:
        return parse(selector).matches(labels)
    except SelectorError:
        return False


def _cidr(text: str) -> IPNetwork | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _covers(net: IPNetwork, block: IPNetwork) -> bool:
    (low, high), (first, last) = _span(net), _span(block)
    return net.version == block.version and low <= first and last <= high


def _span(what: IPAddress | IPNetwork) -> tuple[int, int]:
    if isinstance(what, IPv4Network | IPv6Network):
        return int(what.network_address), int(what.broadcast_address)
    return int(what), int(what)


def _network(like: IPNetwork, first: int, length: int) -> IPNetwork:
    if isinstance(like, IPv4Network):
        return IPv4Network((first, length))
    return IPv6Network((first, length))
