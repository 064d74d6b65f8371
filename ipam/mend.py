"""What puts a finding right, decided anew on fresh facts. Pure, over a Draft.

Nothing is done to what is not as it was judged: a key's revision, an allocation's sequence number, and
that no endpoint of the holder's node and namespace came since. What only a person can know (a doubled
address, an endpoint without one) has no mend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from felix_py.datastore.keys import AffinityKey, BlockKey, HandleKey, Key, ResourceKey, kind_prefix
from felix_py.datastore.model import AffinityState, Block, BlockAffinity, Kind, NodeName
from felix_py.datastore.store import Compare, PrefixUnchangedSince
from ipam import block as blocks
from ipam.block import Give
from ipam.draft import Draft, Unreadable
from ipam.findings import Finding, Problem, Subject
from ipam.free import free, give_up

ENDPOINTS = kind_prefix(Kind.WORKLOAD_ENDPOINT)


class Changed(Exception):
    """It is not as it was judged: look again."""


def can_mend(finding: Finding) -> bool:
    """Whether this kind of finding is put right without a person."""
    return finding.problem in _MENDS


def mend(draft: Draft, finding: Finding) -> str:
    """Plan it; what is done, in words. Raises Changed, MissingFacts, StaleLease, NotYours, BadRequest."""
    try:
        return _MENDS[finding.problem](draft, finding.subject)
    except Unreadable as error:
        raise Changed(f"{error.key.path} cannot be read") from None


def quiet(finding: Finding, since: int) -> tuple[Compare, ...]:
    """What nobody may have written since the revision that was judged, besides the keys themselves."""
    subject = finding.subject
    if finding.problem is not Problem.LEAKED:
        return ()
    prefix = ENDPOINTS
    if subject.namespace and subject.node:
        # The first part of an endpoint's name is its node's, with every dash doubled.
        prefix += f"{subject.namespace}/{subject.node.replace('-', '--')}-"
    return (PrefixUnchangedSince(prefix, since),)


def _release(draft: Draft, subject: Subject) -> str:
    assert isinstance(subject.key, BlockKey)
    assert subject.address is not None
    ordinal = int(subject.address) - int(subject.key.cidr.network_address)
    give = Give(ordinal, subject.handle_id, subject.revision)
    if not free(draft, subject.key.cidr, [give]):
        raise Changed(f"{subject.address} is free already")
    return f"released {subject.address} from handle {subject.handle_id or '(none)'}"


def _count(draft: Draft, subject: Subject) -> str:
    """Write a handle as the blocks have it; a handle without addresses goes."""
    key = _as_judged(draft, subject)
    assert isinstance(key, HandleKey)
    for cidr in {*draft.handle(key.handle_id).blocks, *subject.cidrs}:
        draft.rely(BlockKey(cidr))
    draft.count_handle(key.handle_id, subject.cidrs)
    return f"wrote handle {key.handle_id} as the blocks have it"


def _settle_affinity(draft: Draft, subject: Subject) -> str:
    """Confirm the affinity of a block that its node uses, else give it up."""
    key = _as_judged(draft, subject)
    assert isinstance(key, AffinityKey)
    block = draft.block(key.cidr)
    if block is None or block.affinity != key.owner:
        draft.rely(BlockKey(key.cidr), assume_absent=True)
        draft.drop_affinity(key)
        return f"dropped {key.path}: the block is not its"
    if blocks.is_empty(block):
        give_up(draft, block, key)
        return f"gave up {key.path}: its block is empty"
    draft.plan(key, BlockAffinity(AffinityState.CONFIRMED))
    draft.write_block(blocks.written(block))
    return f"confirmed {key.path}: its block is in use"


def _settle_block(draft: Draft, subject: Subject) -> str:
    """A block whose owner has no affinity: it goes when it is empty, else its owner gets one."""
    key = _as_judged(draft, subject)
    assert isinstance(key, BlockKey)
    block = draft.block(key.cidr)
    if block is None:
        raise Changed(f"{key.path} is gone")
    if blocks.is_empty(block):
        draft.drop_block(key.cidr)
        return f"deleted {key.path}: it is empty and nobody's"
    return _give_to_owner(draft, key, block)


def _give_to_owner(draft: Draft, key: BlockKey, block: Block) -> str:
    kind, _, name = (block.affinity or "").partition(":")
    affinity = AffinityKey(NodeName(name), key.cidr, kind == "virtual")
    node = ResourceKey(Kind.NODE, name)
    draft.rely(affinity)
    draft.rely(key)
    if kind == "virtual" or draft.rely(node).exists:
        draft.plan(affinity, BlockAffinity(AffinityState.CONFIRMED))
        return f"wrote {affinity.path}: its block is in use"
    draft.plan(key, blocks.release_affinity(block))
    return f"{key.path} is nobody's now: there is no node {name}"


def _as_judged(draft: Draft, subject: Subject) -> Key:
    """The key, which must be as it was. Raises Changed."""
    assert subject.key is not None
    if draft.rely(subject.key).mod_revision != subject.revision:
        raise Changed(f"{subject.key.path} was changed meanwhile")
    return subject.key


_MENDS: Mapping[Problem, Callable[[Draft, Subject], str]] = {
    Problem.LEAKED: _release,
    Problem.ORPHANED_HANDLE: _count,
    Problem.WRONG_HANDLE: _count,
    Problem.MISSING_HANDLE: _count,
    Problem.PENDING_AFFINITY: _settle_affinity,
    Problem.AFFINITY_WITHOUT_BLOCK: _settle_affinity,
    Problem.BLOCK_WITHOUT_AFFINITY: _settle_block,
}
