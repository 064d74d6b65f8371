"""Release addresses by name, wherever they lie: Calico's ReleaseIPs, one transaction per block.

Reference: Calico v3.32.1 `libcalico-go/lib/ipam/ipam.go` (ReleaseIPs, ensureConsistentAffinity).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from felix_py.datastore.keys import AffinityKey, BlockKey, HandleKey, ResourceKey, block_prefix
from felix_py.datastore.model import Block, HandleId, IPAddress, IPNetwork, IPPool, Kind, Node
from ipam import block as blocks
from ipam import pool as pools_
from ipam.block import Give
from ipam.decide import need, settle
from ipam.draft import Draft, Unreadable
from ipam.errors import BadRequest
from ipam.office import Office

AT_ONCE = 50
"""Addresses released by one transaction: each may have a handle of its own, and etcd takes 128 keys."""


@dataclass(frozen=True, slots=True)
class AddressRelease:
    """An address to release, and what must still be true of it (None: not checked)."""

    address: IPAddress
    handle_id: HandleId | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Freed:
    """Addresses that were released, and those that nobody held."""

    released: tuple[IPAddress, ...]
    unallocated: tuple[IPAddress, ...]


def release_addresses(office: Office, wanted: Sequence[AddressRelease]) -> Freed:
    """Release addresses. One refusal (StaleLease, NotYours) stops its block and those after it."""
    pools = office.pools()
    by_block: dict[IPNetwork, list[AddressRelease]] = {}
    released: list[IPAddress] = []
    for each in wanted:
        cidr = _block_of(office, each.address, pools)
        if cidr is not None:
            by_block.setdefault(cidr, []).append(each)
    for cidr, mine in by_block.items():
        for start in range(0, len(mine), AT_ONCE):
            gives = [_give(cidr, each) for each in mine[start : start + AT_ONCE]]
            ordinals = office.decide(lambda draft, c=cidr, g=gives: free(draft, c, g))  # type: ignore[misc]
            released += [cidr.network_address + ordinal for ordinal in ordinals]
        tidy_affinity(office, cidr, pools)
    gone = set(released)
    return Freed(tuple(released), tuple(e.address for e in wanted if e.address not in gone))


def free(draft: Draft, cidr: IPNetwork, gives: Sequence[Give]) -> tuple[int, ...]:
    """Plan the release of ordinals of a block, with their handles' counts."""
    try:
        block = draft.block(cidr)
    except Unreadable:
        raise BadRequest(f"block {cidr} cannot be read: repair {BlockKey(cidr).path}") from None
    if block is None:
        return ()
    after, ordinals = blocks.release(block, gives)
    if not ordinals:
        return ()
    holders = (blocks.holder_of(block, ordinal) for ordinal in ordinals)
    handles = sorted({holder.handle_id for holder in holders if holder and holder.handle_id})
    need(draft, map(HandleKey, handles))
    need(draft, (BlockKey(named) for each in handles for named in draft.handle(each).blocks))
    settle(draft, after)
    for handle_id in handles:
        draft.count_handle(handle_id, frozenset({cidr}))
    return ordinals


def tidy_affinity(office: Office, cidr: IPNetwork, pools: Iterable[IPPool]) -> None:
    """Release an empty block whose enabled pool does not select its node any more."""
    pool = pools_.containing(cidr, pools)
    stored = office.store.get(BlockKey(cidr).path)
    if pool is None or stored is None:
        return
    office.decide(lambda draft: _tidy(draft, office, cidr, pool))


def _tidy(draft: Draft, office: Office, cidr: IPNetwork, pool: IPPool) -> None:
    block = draft.block(cidr)
    if block is None or block.host is None or not blocks.is_empty(block):
        return
    node = office.node(block.host)
    if node is None or pools_.selects_node(pool, node):
        return
    _rely_on(draft, node, pool)
    give_up(draft, block, AffinityKey(block.host, cidr))


def _rely_on(draft: Draft, node: Node, pool: IPPool) -> None:
    draft.rely(ResourceKey(Kind.IP_POOL, pool.name))
    draft.rely(ResourceKey(Kind.NODE, node.name))


def give_up(draft: Draft, block: Block, key: AffinityKey) -> None:
    """Plan the end of a block's affinity: the block goes too when it is empty."""
    draft.drop_affinity(key)
    if blocks.is_empty(block):
        draft.drop_block(block.cidr)
    else:
        draft.write_block(blocks.release_affinity(block))


def _give(cidr: IPNetwork, each: AddressRelease) -> Give:
    ordinal = int(each.address) - int(cidr.network_address)
    return Give(ordinal, each.handle_id, each.sequence)


def _block_of(office: Office, address: IPAddress, pools: Iterable[IPPool]) -> IPNetwork | None:
    """By its pool, disabled ones too; an address outside every pool is looked for in all blocks."""
    pool = pools_.containing(address, pools, even_disabled=True)
    if pool is not None:
        return blocks.block_of(address, pool.block_size)
    for key, _ in office.objects(block_prefix(address.version)):
        if isinstance(key, BlockKey) and address in key.cidr:
            return key.cidr
    return None
