"""What one request means for the store: pure decisions over a Draft, refusals as ipam.errors.

Reference: Calico v3.32.1 `libcalico-go/lib/ipam/ipam.go` (AutoAssign, AssignIP, ReleaseByHandle),
with these differences: all or nothing, and the same handle asking again gets what it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_network

from felix_py.datastore.keys import BlockKey, HandleKey, IPAMConfigKey, Key, ResourceKey
from felix_py.datastore.model import (
    Attribute,
    Block,
    HandleId,
    IPAddress,
    IPNetwork,
    IPPool,
    Kind,
    Node,
)
from ipam import block as blocks
from ipam import own
from ipam import pool as pools_
from ipam.choose import Chooser, Moment, Wanted, claim
from ipam.draft import Draft, MissingFacts, Unreadable
from ipam.errors import AddressTaken, BadRequest, NoQualifiedPool, NotInPool, NotYours
from ipam.leftover import overlapping
from ipam.requests import AssignRequest, Lease, LeasedAddress, Released, ReleaseRequest
from ipam.view import View
from ipam.watched import CLUSTER

Taken = tuple[IPAddress, Block]

MAX_HANDLE_CHARACTERS = 512
"""A handle is a key of etcd; a longer one is refused."""


def assign(draft: Draft, request: AssignRequest, moment: Moment) -> Lease:
    """Plan the addresses, the handle and the endpoint; the lease without its revision.

    Raises an error of ipam.errors, or MissingFacts; the draft is to be dropped then.
    """
    check(request)
    node = _own_node(draft)
    if request.outside:
        return _outside(draft, request)
    held = held_by(draft, request.handle_id)
    if request.addresses:
        taken = [given(draft, address, request, held, moment) for address in request.addresses]
    else:
        taken = _automatic(draft, node, request, held, moment)
    known = {address for address, _ in held}
    fresh = [(address, block) for address, block in taken if address not in known]
    touched = frozenset(block.cidr for _, block in fresh)
    for cidr in {block.cidr for _, block in taken}:
        draft.rely(BlockKey(cidr), assume_absent=True)
        rely_on_pool(draft, cidr)
    draft.count_handle(request.handle_id, touched)
    _render(draft, request, tuple(address for address, _ in taken))
    leased = tuple(_leased(draft.view, address, block) for address, block in taken)
    return Lease(request.handle_id, leased, revision=0, fresh=len(fresh) == len(taken))


def _outside(draft: Draft, request: AssignRequest) -> Lease:
    """Plan the endpoint alone. Raises NotYours for an address that a pool has a say in."""
    for address in request.addresses:
        pool = pools_.containing(address, draft.view.pools, even_disabled=True)
        if pool is not None:
            raise NotYours(f"{address} lies in pool {pool.name}, so only IPAM can give it")
    assert request.endpoint is not None, "without an endpoint there is nothing to write"
    stored = draft.endpoint(request.endpoint.key, assume_absent=True)
    _render(draft, request, request.addresses)
    _, planned = draft.planned(request.endpoint.key)
    leased = tuple(LeasedAddress(address, ip_network(address)) for address in request.addresses)
    fresh = stored is None or stored.value != planned
    return Lease(request.handle_id, leased, revision=0, fresh=fresh)


def release(draft: Draft, request: ReleaseRequest) -> Released:
    """Plan the end of all that a handle holds, and of its endpoint if the container still owns it.

    A block that cannot be read counts as absent: its entry in the handle stays for the audit.
    """
    check(request)
    draft.rely(CLUSTER)
    freed: list[IPAddress] = []
    touched: set[IPNetwork] = set()
    unreadable = False
    named = draft.handle(request.handle_id).blocks
    for cidr in _naming(draft, request.handle_id, named):
        try:
            block = _looked_at(draft, cidr, named)
        except Unreadable:
            unreadable = True
            continue
        if block is not None and blocks.ordinals_of(block, request.handle_id):
            freed += blocks.addresses_of(block, request.handle_id)
            touched.add(cidr)
            settle(draft, blocks.release_handle(block, request.handle_id)[0])
    if not unreadable:
        draft.rely(HandleKey(request.handle_id))
        draft.plan(HandleKey(request.handle_id), None)
    return Released(request.handle_id, tuple(freed), _end_endpoint(draft, request))


def settle(draft: Draft, block: Block) -> None:
    """Plan a block after a release: gone when nobody needs it, else with its new content."""
    view = draft.view
    if not blocks.is_empty(block):
        draft.write_block(block)
    elif block.affinity is None:
        draft.drop_block(block.cidr)
    elif view.is_ours(block) and is_unwanted(view, block.cidr):
        rely_on_pool(draft, block.cidr)
        draft.drop_block(block.cidr)
        draft.drop_affinity(view.claim_on(block.cidr))
    else:
        draft.write_block(block)


def is_unwanted(view: View, cidr: IPNetwork) -> bool:
    """True when the block's pool is enabled and does not select this node any more."""
    pool, node = pools_.containing(cidr, view.pools), view.own_node
    return pool is not None and node is not None and not pools_.selects_node(pool, node)


def check(request: AssignRequest | ReleaseRequest) -> None:
    """Raises BadRequest for what must not become a key of etcd."""
    handle = request.handle_id
    if not handle or "/" in handle or len(handle) > MAX_HANDLE_CHARACTERS:
        raise BadRequest(
            f"handle {handle[:40]!r}: must be 1 to {MAX_HANDLE_CHARACTERS} characters without '/'"
        )
    if isinstance(request, ReleaseRequest):
        return
    given = [int(address.version) for address in request.addresses]
    versions = given or list(request.families)
    if not versions or len(set(versions)) != len(versions) or not set(versions) <= {4, 6}:
        raise BadRequest(f"families {versions}: must be 4, 6 or both, each once")
    if request.count < 1:
        raise BadRequest(f"count {request.count}: must be at least 1")


def _own_node(draft: Draft) -> Node:
    draft.rely(CLUSTER)
    node = draft.view.own_node
    if node is None:
        raise NoQualifiedPool(
            f"node {draft.view.node} has no readable Node object in the store: create"
            f" {ResourceKey(Kind.NODE, draft.view.node).path} first"
        )
    if not draft.view.virtual:
        draft.rely(ResourceKey(Kind.NODE, draft.view.node), creation_only=True)
    return node


def _naming(draft: Draft, handle_id: HandleId, named: Collection[IPNetwork]) -> list[IPNetwork]:
    """The blocks that may hold a handle's addresses, all of them read.

    Raises MissingFacts for all at once: a handle may name more blocks than there are rounds of reading.
    """
    cidrs = list(dict.fromkeys([*named, *own.naming(draft.view, handle_id)]))
    need(draft, map(BlockKey, cidrs))
    return cidrs


def need(draft: Draft, keys: Iterable[Key]) -> None:
    """Raises MissingFacts for all of these that nobody has read, at once: rounds of reading are few."""
    unread = [k for k in keys if not draft.planned(k)[0] and draft.view.get(k) is None]
    if unread:
        raise MissingFacts(*unread)


def _looked_at(draft: Draft, cidr: IPNetwork, named: Collection[IPNetwork]) -> Block | None:
    """A block that may hold a handle's addresses. If the handle names it, what it holds is compared:
    another node may have borrowed from a block of ours without our knowing."""
    block = draft.block(cidr)
    if cidr in named:
        draft.rely(BlockKey(cidr))
    return block


def held_by(draft: Draft, handle_id: HandleId, *, assume_absent: bool = True) -> list[Taken]:
    """The addresses that a handle holds, each with its block as it will be."""
    found: list[Taken] = []
    named = draft.handle(handle_id, assume_absent=assume_absent).blocks
    for cidr in _naming(draft, handle_id, named):
        try:
            block = _looked_at(draft, cidr, named)
        except Unreadable:
            continue
        if block is not None:
            found += [(address, block) for address in blocks.addresses_of(block, handle_id)]
    return found


def _automatic(
    draft: Draft, node: Node, request: AssignRequest, held: list[Taken], moment: Moment
) -> list[Taken]:
    taken: list[Taken] = []
    holder = Attribute(request.handle_id, dict(request.attributes))
    for version in request.families:
        have = [pair for pair in held if pair[0].version == version][: request.count]
        taken += have
        if len(have) < request.count:
            named = request.family_pools.get(version, request.pools)
            ask = pools_.Ask(version, node, request.use, named, request.namespace_labels)
            pools = pools_.qualifying(draft.view.pools, ask)
            wanted = Wanted(version, request.count - len(have), pools, holder)
            taken += Chooser(draft, wanted, moment).take()
    return taken


def given(
    draft: Draft, address: IPAddress, request: AssignRequest, held: list[Taken], moment: Moment
) -> Taken:
    """Plan this very address for a handle. Raises AddressTaken, NotInPool, NotYours, MissingFacts."""
    mine = next((pair for pair in held if pair[0] == address), None)
    if mine is not None:
        return mine
    view = draft.view
    draft.rely(IPAMConfigKey())
    if not request.lives and any(address in used for used in view.in_use):
        raise AddressTaken(
            f"{address} is in use on this node by a pod that the store does not know"
        )
    pool = pools_.containing(address, view.pools, even_disabled=request.lives)
    if pool is None:
        raise NotInPool(f"{address} is not in a configured pool that is enabled")
    if view.virtual and request.use not in pool.allowed_uses:
        raise NoQualifiedPool(
            f"pool {pool.name} of {address} is not for {request.use.value}: add it to allowedUses"
        )
    cidr = blocks.block_of(address, pool.block_size)
    try:
        block = draft.block(cidr) or _claimed(draft, pool, cidr, moment)
    except Unreadable:
        raise NotYours(f"block {cidr} of {address} cannot be read: repair its key first") from None
    ordinal = blocks.ordinal_of(block, address)
    if ordinal in blocks.ordinals_of(block, request.handle_id):
        return address, block
    if view.config.strict_affinity and not view.is_ours(block):
        raise NotYours(f"{address} lies in block {cidr} of {block.affinity}; affinity is strict")
    try:
        holder = Attribute(request.handle_id, dict(request.attributes))
        after = blocks.assign_ordinal(block, ordinal, holder)
    except AddressTaken:
        if BlockKey(cidr) in view.fresh:
            raise
        raise MissingFacts(BlockKey(cidr)) from None
    draft.write_block(after)
    return address, after


def _claimed(draft: Draft, pool: IPPool, cidr: IPNetwork, moment: Moment) -> Block:
    other = overlapping(draft.view, pool, cidr)
    if other is not None:
        raise NotYours(f"block {cidr} shares addresses with block {other} of another size")
    return claim(draft, cidr, moment)


def rely_on_pool(draft: Draft, cidr: IPNetwork) -> None:
    """The enabled pool of a block must be as it was seen."""
    pool = pools_.containing(cidr, draft.view.pools)
    if pool is not None:
        draft.rely(ResourceKey(Kind.IP_POOL, pool.name))


def _render(draft: Draft, request: AssignRequest, addresses: tuple[IPAddress, ...]) -> None:
    if request.endpoint is None:
        return
    key = request.endpoint.key
    stored = draft.endpoint(key, assume_absent=True)
    draft.plan(key, request.endpoint.render(addresses, stored))


def _end_endpoint(draft: Draft, request: ReleaseRequest) -> bool:
    key = request.endpoint_key
    if key is None or draft.container_of(key) != request.container_id:
        return False
    draft.plan(key, None)
    return True


def _leased(view: View, address: IPAddress, block: Block) -> LeasedAddress:
    return LeasedAddress(address, block.cidr, None if view.is_ours(block) else block.host)
