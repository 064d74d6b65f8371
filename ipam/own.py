"""This node's own blocks, as a view knows them, without a walk through all of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from felix_py.datastore.model import HandleId, IPNetwork, IPPool
from ipam.pool import containing
from ipam.view import View


def naming(view: View, handle_id: HandleId) -> tuple[IPNetwork, ...]:
    """Those that may hold addresses of a handle: they name it, or nobody has read them yet."""
    unread = (key.cidr for key in view.unread_blocks())
    return (*unread, *(cidr for cidr in view.holdings.of(handle_id) if view.owns(cidr)))


def inside(view: View, pools: tuple[IPPool, ...]) -> Mapping[IPNetwork, None]:
    """Those in pools of one IP version, in the order of their keys."""
    known = view.holdings.inside
    names = tuple(pool.name for pool in pools)
    if names not in known:
        known[names] = {key.cidr: None for key, _ in view.affinities if containing(key.cidr, pools)}
    return known[names]


def with_room(view: View, pools: tuple[IPPool, ...]) -> Mapping[IPNetwork, None]:
    """The same without those that are known to be full."""
    known, full = view.holdings.with_room, view.holdings.full
    names = tuple(pool.name for pool in pools)
    if names not in known:
        known[names] = {cidr: None for cidr in inside(view, pools) if cidr not in full}
    return known[names]
