"""Removing a pool as Calico does: disable, wait, release its blocks' affinities, delete.

Addresses in use stay with their pods; their blocks stay, without an owner, until the last address is
released (Calico v3.32 `libcalico-go/lib/clientv3/ippool.go`).
"""

from __future__ import annotations

import time

from felix_py.ctl.errors import Conflict, NotThere
from felix_py.ctl.writer import MAX_ATTEMPTS, Writer
from felix_py.datastore.codec import decode, encode, rewrite
from felix_py.datastore.keys import AffinityKey, BlockKey, ResourceKey, block_prefix, parse
from felix_py.datastore.model import Block, IPNetwork, IPPool
from felix_py.datastore.store import (
    Delete,
    KeyValue,
    ModRevisionIs,
    Put,
    Store,
    Transaction,
    Write,
)
from ipam.block import is_empty, release_affinity, written

SETTLE_SECONDS = 0.5
"""Calico waits so long between disabling and releasing, for nodes that have not heard yet. Our own
nodes compare the pool in every transaction and need no wait."""


def remove_pool(store: Store, key: ResourceKey, title: str, resource_version: str = "") -> str:
    """Remove a pool; what was done, for people. Raises NotThere, Conflict."""
    stored = store.get(key.path)
    if stored is None:
        raise NotThere(f"{title}: not there")
    if resource_version and resource_version != str(stored.mod_revision):
        raise Conflict(f"{title}: resourceVersion is {stored.mod_revision} now; look again")
    pool = decode(key, stored.value)
    writer = Writer(store)
    if not isinstance(pool, IPPool):
        return writer.delete(key, title)
    if not pool.disabled:
        writer.edit(key, title, lambda raw: rewrite(raw, spec={"disabled": True}))
    time.sleep(SETTLE_SECONDS)
    kept = 0
    for cidr in _blocks_of(store, pool):
        kept += not _release(store, cidr)
    done = writer.delete(key, title)
    return f"{done}; {kept} of its blocks stay until their addresses are released" if kept else done


def _blocks_of(store: Store, pool: IPPool) -> list[IPNetwork]:
    items = store.list(block_prefix(pool.cidr.version), keys_only=True).items
    keys = [parse(item.key) for item in items]
    return [key.cidr for key in keys if isinstance(key, BlockKey) and _inside(key.cidr, pool.cidr)]


def _inside(block: IPNetwork, pool: IPNetwork) -> bool:
    return block.overlaps(pool) and block.prefixlen >= pool.prefixlen


def _release(store: Store, cidr: IPNetwork) -> bool:
    """Release one block's affinity in one transaction; True when the block is gone as well."""
    path = BlockKey(cidr).path
    for _ in range(MAX_ATTEMPTS):
        stored = store.get(path)
        block = None if stored is None else decode(BlockKey(cidr), stored.value)
        if stored is None or not isinstance(block, Block):
            return stored is None
        empty = is_empty(block)
        if block.affinity is None and not empty:
            return False
        if _try_release(store, stored, block, empty=empty):
            return empty
    raise Conflict(f"block {cidr} changed {MAX_ATTEMPTS} times meanwhile; delete the pool again")


def _try_release(store: Store, stored: KeyValue, block: Block, *, empty: bool) -> bool:
    writes: list[Write] = [
        Delete(stored.key) if empty else Put(stored.key, encode(written(release_affinity(block))))
    ]
    compares = [ModRevisionIs(stored.key, stored.mod_revision)]
    if block.host is not None:
        affinity_path = AffinityKey(block.host, block.cidr).path
        affinity = store.get(affinity_path)
        compares.append(ModRevisionIs(affinity_path, affinity.mod_revision if affinity else 0))
        if affinity is not None:
            writes.append(Delete(affinity_path))
    return store.transact(Transaction(tuple(compares), tuple(writes))).succeeded
