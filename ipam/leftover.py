"""Blocks that a pool's earlier life left behind with another block size: nothing is claimed over them.

A pool that is deleted and made again with another blockSize leaves blocks whose addresses are in use.
They are other keys of etcd, so that no compare of ours would meet them. Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import IPNetwork, IPPool, Kind
from ipam.draft import MissingFacts
from ipam.pool import Leftovers
from ipam.seen import ABSENT
from ipam.view import View


def overlapping(view: View, pool: IPPool, cidr: IPNetwork) -> IPNetwork | None:
    """A block of another size than the pool's that shares addresses with this one.

    Raises MissingFacts. The blocks' names are listed once for each state of a pool, which is enough:
    whoever claims in it compares the pool, and so cuts it into blocks as we do. That a leftover is
    still there is believed only from a listing of this round.
    """
    names = view.names.get(cidr.version)
    fact = view.get(ResourceKey(Kind.IP_POOL, pool.name)) or ABSENT
    known = view.leftovers.get(pool.name)
    if known is None or known.pool_revision != fact.mod_revision:
        if names is None:
            raise MissingFacts(names_of_version=cidr.version)
        known = view.leftovers[pool.name] = _found(pool, names, fact.mod_revision)
    found = known.over(cidr)
    if found is not None and names is None:
        raise MissingFacts(names_of_version=cidr.version)
    return found


def _found(pool: IPPool, names: Collection[IPNetwork], pool_revision: int) -> Leftovers:
    odd = [
        cidr
        for cidr in names
        if cidr.prefixlen != pool.block_size
        and cidr.version == pool.cidr.version
        and cidr.overlaps(pool.cidr)
    ]
    odd.sort(key=lambda cidr: int(cidr.network_address))
    furthest: list[IPNetwork] = []
    for cidr in odd:
        before = furthest[-1] if furthest else cidr
        reaches = int(before.broadcast_address) > int(cidr.broadcast_address)
        furthest.append(before if reaches else cidr)
    firsts = tuple(int(cidr.network_address) for cidr in odd)
    return Leftovers(pool_revision, firsts, tuple(furthest))
