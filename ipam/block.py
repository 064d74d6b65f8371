"""One block's arithmetic: who holds which ordinal. Pure; a write of the result is `written(block)`.

Reference: Calico v3.32.1 `libcalico-go/lib/ipam/ipam_block.go`. Unlike Calico, a release by handle
also forgets the sequence numbers of the allocations it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_network

from felix_py.datastore.model import Attribute, Block, HandleId, IPAddress, IPNetwork
from ipam.errors import AddressTaken, NotYours, StaleLease

WINDOWS_RESERVED = HandleId("windows-reserved-ipam-handle")
"""Holds ordinals 0-2 and the last for a Windows host; a block with nothing else counts as empty."""

CLAIM_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Give:
    """One ordinal to give back, and what must still be true of it (None: not checked)."""

    ordinal: int
    handle_id: HandleId | None = None
    sequence: int | None = None


def new_block(cidr: IPNetwork, affinity: str, claimed_at: datetime, sequence: int) -> Block:
    """A block that nobody holds anything of; `sequence` starts at Unix nanoseconds in Calico."""
    size = cidr.num_addresses
    return Block(
        cidr=cidr,
        affinity=affinity,
        affinity_claim_time=claimed_at.astimezone(UTC).strftime(CLAIM_TIME_FORMAT),
        allocations=(None,) * size,
        unallocated=tuple(range(size)),
        attributes=(),
        sequence_number=sequence,
        sequence_for_allocation={},
    )


def address_at(block: Block, ordinal: int) -> IPAddress:
    """The address of an ordinal."""
    first = block.cidr.network_address
    return first + ordinal


def ordinal_of(block: Block, address: IPAddress) -> int:
    """The ordinal of an address that lies in the block."""
    return int(address) - int(block.cidr.network_address)


def reserved_ordinals(cidr: IPNetwork, reservations: Iterable[IPNetwork]) -> tuple[range, ...]:
    """The ordinals of a block that reservations cover, as ranges."""
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    return tuple(
        range(
            max(first, int(net.network_address)) - first,
            min(last, int(net.broadcast_address)) - first + 1,
        )
        for net in reservations
        if net.version == cidr.version and net.overlaps(cidr)
    )


def free_ordinals(block: Block, reserved: Sequence[range] = ()) -> Iterator[int]:
    """Free ordinals in the order in which they are given out, without the reserved ones."""
    if not reserved:
        yield from block.unallocated
        return
    for ordinal in block.unallocated:
        if not any(ordinal in span for span in reserved):
            yield ordinal


def assign_automatically(
    block: Block, count: int, holder: Attribute, reserved: Sequence[range] = ()
) -> tuple[Block, tuple[int, ...]]:
    """Up to `count` ordinals from the front of the queue; reserved ones keep their place in it."""
    taken: list[int] = []
    for ordinal in free_ordinals(block, reserved):
        if len(taken) == count:
            break
        taken.append(ordinal)
    return (_allocated(block, taken, holder) if taken else block), tuple(taken)


def assign_ordinal(block: Block, ordinal: int, holder: Attribute) -> Block:
    """Give this very ordinal, reserved or not. Raises AddressTaken."""
    if block.allocations[ordinal] is not None:
        holder_now = _named(holder_of(block, ordinal))
        raise AddressTaken(
            f"{address_at(block, ordinal)} is held by {holder_now}; ask for another address"
        )
    return _allocated(block, [ordinal], holder)


def release(block: Block, gives: Sequence[Give]) -> tuple[Block, tuple[int, ...]]:
    """Give ordinals back: (block, those that were allocated). One refusal refuses them all.

    Raises StaleLease when the allocation is a later one than meant, NotYours for another handle.
    """
    freed: list[int] = []
    for give in gives:
        if block.allocations[give.ordinal] is None or give.ordinal in freed:
            continue
        _check(block, give)
        freed.append(give.ordinal)
    return _freed(block, freed), tuple(freed)


def release_handle(block: Block, handle_id: HandleId) -> tuple[Block, tuple[int, ...]]:
    """Give back all that a handle holds here."""
    freed = ordinals_of(block, handle_id)
    return _freed(block, freed), freed


def release_affinity(block: Block) -> Block:
    """The block as it stays when its owner leaves it while others still hold addresses of it."""
    return replace(block, affinity=None, affinity_claim_time=None)


def written(block: Block) -> Block:
    """The block as it must be written: every write of a block counts its sequence number up."""
    return replace(block, sequence_number=block.sequence_number + 1)


def is_empty(block: Block) -> bool:
    """True when nobody holds an address, except a Windows host its reserved ones."""
    if not block.attributes and len(block.unallocated) == len(block.allocations):
        return True
    windows = {i for i, a in enumerate(block.attributes) if a.handle_id == WINDOWS_RESERVED}
    return all(index is None or index in windows for index in block.allocations)


def holder_of(block: Block, ordinal: int) -> Attribute | None:
    """Who holds an ordinal."""
    index = block.allocations[ordinal]
    return None if index is None else block.attributes[index]


def holders(block: Block) -> Iterator[tuple[int, Attribute]]:
    """Every ordinal that somebody holds, in order, with who does."""
    for ordinal, index in enumerate(block.allocations):
        if index is not None:
            yield ordinal, block.attributes[index]


def ordinals_of(block: Block, handle_id: HandleId) -> tuple[int, ...]:
    """The ordinals that a handle holds."""
    mine = {i for i, a in enumerate(block.attributes) if a.handle_id == handle_id}
    if not mine:
        return ()
    return tuple(o for o, index in enumerate(block.allocations) if index in mine)


def addresses_of(block: Block, handle_id: HandleId) -> tuple[IPAddress, ...]:
    """The addresses that a handle holds."""
    return tuple(address_at(block, ordinal) for ordinal in ordinals_of(block, handle_id))


def claimed_at(block: Block) -> datetime | None:
    """When the block was claimed; None (infinitely long ago) when it does not say."""
    try:
        moment = datetime.fromisoformat(block.affinity_claim_time or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def block_of(address: IPAddress, block_size: int) -> IPNetwork:
    """The block in which an address lies when blocks have this prefix length."""
    return ip_network((address, block_size), strict=False)


def _allocated(block: Block, ordinals: Sequence[int], holder: Attribute) -> Block:
    attributes, index = _find_or_add(block.attributes, holder)
    allocations = list(block.allocations)
    sequences = dict(block.sequence_for_allocation)
    for ordinal in ordinals:
        allocations[ordinal] = index
        sequences[ordinal] = block.sequence_number
    gone = frozenset(ordinals)
    return replace(
        block,
        allocations=tuple(allocations),
        unallocated=tuple(o for o in block.unallocated if o not in gone),
        attributes=attributes,
        sequence_for_allocation=sequences,
    )


def _freed(block: Block, ordinals: Sequence[int]) -> Block:
    if not ordinals:
        return block
    allocations = list(block.allocations)
    sequences = dict(block.sequence_for_allocation)
    for ordinal in ordinals:
        allocations[ordinal] = None
        sequences.pop(ordinal, None)
    used = {index for index in allocations if index is not None}
    kept = [index for index in range(len(block.attributes)) if index in used]
    renumbered = {old: new for new, old in enumerate(kept)}
    return replace(
        block,
        allocations=tuple(None if i is None else renumbered[i] for i in allocations),
        unallocated=(*block.unallocated, *ordinals),
        attributes=tuple(block.attributes[index] for index in kept),
        sequence_for_allocation=sequences,
    )


def _find_or_add(
    attributes: tuple[Attribute, ...], holder: Attribute
) -> tuple[tuple[Attribute, ...], int]:
    for index, known in enumerate(attributes):
        if known.handle_id == holder.handle_id and known == holder:
            return attributes, index
    return (*attributes, holder), len(attributes)


def _check(block: Block, give: Give) -> None:
    address = address_at(block, give.ordinal)
    present = block.sequence_for_allocation.get(give.ordinal, 0)
    if give.sequence is not None and give.sequence != present:
        raise StaleLease(f"{address}: lease {give.sequence} is over, the present one is {present}")
    owner = holder_of(block, give.ordinal)
    handle = owner.handle_id if owner else None
    if give.handle_id is not None and handle != give.handle_id:
        raise NotYours(f"{address} is held by handle {handle!r}, not by {give.handle_id!r}")


def _named(owner: Attribute | None) -> str:
    """A holder, for people."""
    if owner is None:
        return "nobody who is named"
    namespace, pod = owner.secondary.get("namespace"), owner.secondary.get("pod")
    return f"pod {namespace}/{pod}" if namespace and pod else f"handle {owner.handle_id!r}"
