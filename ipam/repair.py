"""What an owner does about its affinities that were left half-way, without waiting for an ADD. Pure.

A crash, a Calico client or kube-controllers may leave an affinity pending or pendingDeletion, or one
whose block is gone or somebody else's. Used: confirmed again. Empty or not ours: given up.
Reference: Calico v3.32.1 `libcalico-go/lib/ipam/ipam_block_reader_writer.go`.
"""

from __future__ import annotations

from felix_py.datastore.keys import AffinityKey, BlockKey
from felix_py.datastore.model import AffinityState, Block, BlockAffinity
from ipam import block as blocks
from ipam.decide import is_unwanted
from ipam.draft import Draft, Unreadable
from ipam.view import View
from ipam.watched import CLUSTER

REPAIRS_PER_TRANSACTION = 40
"""Two compares and two writes each; the rest waits for the next transaction."""


def half_way(view: View) -> list[AffinityKey]:
    """Our affinities that need a decision; their blocks must have been read."""
    return [key for key, affinity in view.affinities if _needs_repair(view, key, affinity)]


def repairs(view: View) -> tuple[Draft, dict[str, str]] | None:
    """Some affinities' repairs as one transaction, with what was decided for each; None: none needed.

    Raises MissingFacts.
    """
    keys = half_way(view)[:REPAIRS_PER_TRANSACTION]
    if not keys:
        return None
    draft = Draft(view)
    return draft, {str(key.cidr): repair(draft, key) for key in keys}


def repair(draft: Draft, key: AffinityKey) -> str:
    """Plan one affinity's repair; what was decided, for the log. Raises MissingFacts."""
    draft.rely(CLUSTER)
    try:
        block = draft.block(key.cidr)
    except Unreadable:
        return "left: its block cannot be read"
    if block is not None and block.host == key.node and not blocks.is_empty(block):
        draft.confirm_affinity(key.cidr)
        draft.write_block(blocks.written(block))
        return "confirmed"
    return _give_up(draft, key, block)


def _give_up(draft: Draft, key: AffinityKey, block: Block | None) -> str:
    draft.drop_affinity(key)
    draft.rely(BlockKey(key.cidr))
    if block is None:
        return "dropped: it has no block"
    if blocks.is_empty(block) and (block.affinity is None or block.host == key.node):
        draft.drop_block(key.cidr)
        return "released: its block is empty"
    return "dropped: its block is not ours"


def _needs_repair(view: View, key: AffinityKey, affinity: BlockAffinity) -> bool:
    block = view.block(key.cidr)
    if affinity.state is not AffinityState.CONFIRMED or block is None or block.host != key.node:
        return not _unreadable(view, key)
    return blocks.is_empty(block) and is_unwanted(view, key.cidr)


def _unreadable(view: View, key: AffinityKey) -> bool:
    fact = view.get(BlockKey(key.cidr))
    return fact is not None and fact.exists and fact.value is None
