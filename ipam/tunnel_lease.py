"""One kind of a node's tunnel address put right in a draft: taken, replaced or given back. Pure.

An address is given back only when no pool wants it, the Node object does not publish it and no device
of this host carries it: until then packets to it must not reach a pod. A published address that IPAM
does not know (restored store, an older release) is taken in place where it is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from felix_py.datastore.keys import BlockKey, ResourceKey
from felix_py.datastore.model import Attribute, IPAddress, IPNetwork, IPPool, Kind, Node, PoolUse
from felix_py.runtime.errors import RefusedError
from ipam import block as blocks
from ipam.block import Give
from ipam.choose import Chooser, Moment, Wanted
from ipam.decide import Taken, given, held_by, rely_on_pool, settle
from ipam.draft import Draft
from ipam.pool import containing
from ipam.requests import AssignRequest
from ipam.tunnels import TunnelKind, current, handle_of, published, wanted_pools
from ipam.watched import CLUSTER


@dataclass(frozen=True, slots=True)
class TunnelLease:
    """What a node has of a kind. `leaving`: no pool wants these, but somebody may still use them."""

    address: IPAddress | None = None
    leaving: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class TunnelAsk:
    """One kind of tunnel, and the addresses that this host's device of it carries.

    only_in_use: nothing new is taken and nothing given back; what is in use already is held.
    """

    kind: TunnelKind
    on_device: frozenset[IPAddress]
    moment: Moment
    only_in_use: bool = False


def settle_tunnel(draft: Draft, ask: TunnelAsk) -> TunnelLease:
    """Plan what must change.

    Raises what Chooser.take raises, MissingFacts; the draft is to be dropped then.
    """
    kind, view, node = ask.kind, draft.view, draft.view.own_node
    if node is None:
        return TunnelLease()
    draft.rely(CLUSTER)
    draft.rely(ResourceKey(Kind.NODE, node.name), creation_only=True)
    handle = handle_of(kind, node.name)
    held = held_by(draft, handle, assume_absent=False)
    pools = wanted_pools(kind, view.pools, node, view.configuration)
    mine = [each for each, _ in held]
    address = current(kind, mine, view.pools, node, view.configuration)
    taken: list[Taken] = []
    if pools and address is None:
        taken = _take(draft, ask, node, pools)
    for given_address, block in taken:
        address = given_address
        rely_on_pool(draft, block.cidr)
    busy = ask.on_device | {published(kind, node)}
    others = [each for each in mine if each != address]
    free = frozenset(each for each in others if each not in busy and not ask.only_in_use)
    touched = {block.cidr for _, block in taken} | _give_back(draft, held, free)
    if free:
        draft.rely(ResourceKey(Kind.NODE, node.name))
    if held or taken:
        draft.count_handle(handle, frozenset(touched))
    return TunnelLease(address, tuple(each for each in others if each not in free))


def _take(draft: Draft, ask: TunnelAsk, node: Node, pools: tuple[IPPool, ...]) -> list[Taken]:
    """An address from these pools: the one in use already if it is free, else any."""
    kind = ask.kind
    shown = published(kind, node)
    used = [shown] if shown else []
    used += sorted(ask.on_device - {shown}, key=int)
    handle, attributes = handle_of(kind, node.name), {"node": node.name, "type": kind.value}
    for address in used:
        if containing(address, pools) is None:
            continue
        request = AssignRequest(
            handle, attributes, addresses=(address,), use=PoolUse.TUNNEL, lives=True
        )
        child = draft.child()
        try:
            pair = given(child, address, request, [], ask.moment)
        except RefusedError:
            continue
        child.keep()
        return [pair]
    if ask.only_in_use:
        return []
    wanted = Wanted(kind.version, 1, pools, Attribute(handle, attributes))
    return Chooser(draft, wanted, ask.moment).take()


def _give_back(draft: Draft, held: Sequence[Taken], free: frozenset[IPAddress]) -> set[IPNetwork]:
    """Plan the end of some addresses; the blocks they lay in."""
    cidrs = {block.cidr for address, block in held if address in free}
    for cidr in cidrs:
        block = draft.block(cidr)
        assert block is not None, "what is held lies in a block"
        draft.rely(BlockKey(cidr))
        gives = [
            Give(blocks.ordinal_of(block, address))
            for address, where in held
            if address in free and where.cidr == cidr
        ]
        settle(draft, blocks.release(block, gives)[0])
    return cidrs
