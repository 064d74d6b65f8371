"""What administrators do to IPAM: affinities, pools, configuration, nodes. One transaction each step.

Reference: Calico v3.32.1 `libcalico-go/lib/ipam/ipam.go` (releaseBlockAffinity, SetIPAMConfig) and
`libcalico-go/lib/clientv3/{ippool,node}.go`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from felix_py.datastore import codec
from felix_py.datastore.keys import (
    ASSIGNMENT,
    HOSTS,
    OWN_NODES,
    RESOURCES,
    VIRTUAL,
    AffinityKey,
    BlockKey,
    IPAMConfigKey,
    Key,
    ResourceKey,
    SessionKey,
    affinity_prefix,
    kind_prefix,
)
from felix_py.datastore.model import (
    Block,
    IPAMConfig,
    IPNetwork,
    Kind,
    NodeName,
    PoolName,
    WorkloadEndpoint,
)
from felix_py.datastore.store import Delete, KeyValue, ModRevisionIs, Put, Transaction
from ipam import block as blocks
from ipam import pool as pools_
from ipam.block import Give
from ipam.decide import release
from ipam.draft import Draft, Unreadable
from ipam.errors import BadRequest, GaveUp, NotInPool
from ipam.free import AddressRelease, Freed, free, give_up, release_addresses, tidy_affinity
from ipam.office import Office
from ipam.requests import ReleaseRequest
from ipam.tunnels import handles_of

__all__ = [
    "AddressRelease",
    "Freed",
    "Office",
    "delete_pool",
    "release_addresses",
    "release_host_affinities",
    "release_pool_affinities",
    "remove_node",
    "set_ipam_config",
]

POOL_SETTLE_SECONDS = 0.5
"""Calico's own pause between disabling a pool and taking its affinities: clients with the enabled
pool in memory finish what they began. Our own nodes compare the pool and need no pause."""


def release_affinity(office: Office, key: AffinityKey, *, require_empty: bool = False) -> bool:
    """End one node's claim on a block; False: refused, because the block is in use."""
    return office.decide(lambda draft: _release(draft, key, require_empty=require_empty))


def release_host_affinities(
    office: Office, node: NodeName, *, require_empty: bool = False
) -> list[IPNetwork]:
    """End all of a node's claims; the blocks that were given up."""
    keys = [key for key, _ in office.objects(affinity_prefix(node))]
    return _release_all(office, keys, require_empty=require_empty)


def release_pool_affinities(office: Office, pool: PoolName) -> list[IPNetwork]:
    """End every claim on blocks of a pool. Raises NotInPool when there is no such pool."""
    found = next((each for each in office.pools() if each.name == pool), None)
    if found is None:
        raise NotInPool(f"pool {pool} does not exist")
    first, last = found.cidr.network_address, found.cidr.broadcast_address
    objects = [*office.objects(HOSTS), *office.objects(VIRTUAL)]
    keys = [
        key
        for key, _ in objects
        if isinstance(key, AffinityKey)
        and key.cidr.version == first.version
        and int(first) <= int(key.cidr.network_address) <= int(last)
    ]
    return _release_all(office, keys, require_empty=False)


def delete_pool(
    office: Office, name: PoolName, wait: Callable[[float], None] = time.sleep
) -> list[IPNetwork]:
    """Disable the pool, end its affinities, delete it; addresses in use stay until released."""
    key = ResourceKey(Kind.IP_POOL, name)
    stored = office.store.get(key.path)
    if stored is None:
        raise NotInPool(f"pool {name} does not exist")
    disabled = codec.rewrite(stored.value, spec={"disabled": True})
    if disabled != stored.value:
        _swap(office, key.path, stored.mod_revision, disabled)
    wait(POOL_SETTLE_SECONDS)
    gone = release_pool_affinities(office, name)
    last = office.store.get(key.path)
    if last is not None:
        _swap(office, key.path, last.mod_revision, None)
    return gone


def set_ipam_config(office: Office, config: IPAMConfig) -> None:
    """Write IPAM's configuration under Calico's two rules. Raises BadRequest."""
    if not config.strict_affinity and not config.auto_allocate_blocks:
        raise BadRequest("auto_allocate_blocks: may be false only with strict_affinity true")
    if config.max_blocks_per_host > 0 and not config.strict_affinity:
        raise BadRequest("maxBlocksPerHost: needs strict_affinity true")
    path = IPAMConfigKey().path
    stored = office.store.get(path)
    _swap(office, path, stored.mod_revision if stored else 0, codec.encode(config))


def remove_node(office: Office, node: NodeName) -> None:
    """Give back all that a node holds and delete what is its alone, the Node object last.

    Raises GaveUp when the Node or its CNI server's session changed meanwhile: what the node took
    since would be lost. Nothing that somebody else changed meanwhile is deleted.
    """
    last = _last_of(office, node)
    endpoints = [
        (key, item)
        for key, item in office.objects(kind_prefix(Kind.WORKLOAD_ENDPOINT))
        if _is_on(key, item.value, node)
    ]
    for key, item in endpoints:
        value = codec.decode(key, item.value)
        if isinstance(value, WorkloadEndpoint):
            _release_unless_foreign(office, value, node)
    for key, _ in office.objects(ASSIGNMENT):
        if isinstance(key, BlockKey):
            office.decide(lambda draft, c=key.cidr: _free_held_by(draft, c, node))  # type: ignore[misc]
    for handle in handles_of(node):
        office.decide(lambda draft, h=handle: release(draft, ReleaseRequest(h)))  # type: ignore[misc]
    office.delete_unchanged(endpoints)
    release_host_affinities(office, node)
    for item in _things_of(office, node):
        _delete_as_read(office, [item])
    if not _delete_as_read(office, last):
        raise GaveUp(f"node {node} is at work: stop its daemons, then delete it again")


def _release(draft: Draft, key: AffinityKey, *, require_empty: bool) -> bool:
    if not draft.rely(key).exists:
        return True
    try:
        block = draft.block(key.cidr)
    except Unreadable:
        return False
    if block is None or block.affinity != key.owner:
        draft.rely(BlockKey(key.cidr))
        draft.drop_affinity(key)
        return True
    if require_empty and not blocks.is_empty(block):
        return False
    give_up(draft, block, key)
    return True


def _release_all(office: Office, keys: Sequence[Key], *, require_empty: bool) -> list[IPNetwork]:
    return [
        key.cidr
        for key in keys
        if isinstance(key, AffinityKey)
        and release_affinity(office, key, require_empty=require_empty)
    ]


def _swap(office: Office, path: str, revision: int, value: bytes | None) -> None:
    write = Delete(path) if value is None else Put(path, value)
    if not office.store.transact(Transaction((ModRevisionIs(path, revision),), (write,))).succeeded:
        raise GaveUp(f"{path} was changed by somebody else meanwhile; look again and repeat")


def _release_unless_foreign(office: Office, endpoint: WorkloadEndpoint, node: NodeName) -> None:
    """The endpoint's addresses, unless the block says that another node holds them by now."""
    pools = office.pools()
    for network in endpoint.networks:
        address = network.network_address
        pool = pools_.containing(address, pools, even_disabled=True)
        if pool is None:
            continue
        cidr = blocks.block_of(address, pool.block_size)
        ordinal = int(address) - int(cidr.network_address)
        office.decide(lambda draft, c=cidr, o=ordinal: _free_unless_foreign(draft, c, o, node))  # type: ignore[misc]
        tidy_affinity(office, cidr, [pool])


def _free_unless_foreign(draft: Draft, cidr: IPNetwork, ordinal: int, node: NodeName) -> None:
    block = draft.block(cidr)
    holder = blocks.holder_of(block, ordinal) if block else None
    if holder is not None and holder.secondary.get("node", node) == node:
        free(draft, cidr, [Give(ordinal, holder.handle_id)])


def _free_held_by(draft: Draft, cidr: IPNetwork, node: NodeName) -> None:
    try:
        block = draft.block(cidr)
    except Unreadable:
        return
    mine = [Give(o) for o in _held_by(block, node)] if block else []
    if mine:
        free(draft, cidr, mine)


def _held_by(block: Block, node: NodeName) -> list[int]:
    return [
        ordinal for ordinal, holder in blocks.holders(block) if holder.secondary.get("node") == node
    ]


def _is_on(key: Key, raw: bytes, node: NodeName) -> bool:
    value = codec.decode(key, raw)
    return isinstance(value, WorkloadEndpoint) and value.node == node


def _last_of(office: Office, node: NodeName) -> list[KeyValue]:
    """The Node and the session, as they are now: both change when the node is at work."""
    paths = [ResourceKey(Kind.NODE, node).path, SessionKey(node).path]
    found, _ = office.store.get_many(paths)
    return [found[path] or KeyValue(path, b"", 0, 0) for path in paths]


def _things_of(office: Office, node: NodeName) -> list[KeyValue]:
    """What belongs to the node alone, besides IPAM: peers, settings, host endpoints, status."""
    named = [
        item
        for kind in ("bgppeers", "hostendpoints")
        for item in office.store.list(f"{RESOURCES}{kind}/").items
        if _node_of(item.value) == node
    ]
    own = [
        f"{RESOURCES}{kind}/node.{node}" for kind in ("felixconfigurations", "bgpconfigurations")
    ]
    legacy = f"{HOSTS}{node}"
    found, _ = office.store.get_many([*own, legacy])
    session = SessionKey(node).path
    ours = [i for i in office.store.list(f"{OWN_NODES}{node}/").items if i.key != session]
    return [*named, *(item for item in found.values() if item is not None), *ours]


def _delete_as_read(office: Office, items: Sequence[KeyValue]) -> bool:
    """Delete keys as they were read, absent ones too, or none of them."""
    compares = tuple(ModRevisionIs(item.key, item.mod_revision) for item in items)
    deletes = tuple(Delete(item.key) for item in items if item.mod_revision)
    return office.store.transact(Transaction(compares, deletes)).succeeded


def _node_of(raw: bytes) -> object:
    try:
        spec = json.loads(raw)["spec"]
    except (ValueError, KeyError, TypeError):
        return None
    return spec.get("node") if isinstance(spec, dict) else None
