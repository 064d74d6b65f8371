"""Removing what others depend on: a pool with its blocks' affinities, a node with all it holds, a tier."""

from __future__ import annotations

from felix_py.ctl import policies
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from felix_py.ctl.stored_text import fields_of, mapping
from felix_py.ctl.writer import Writer
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import ResourceKey, kind_prefix
from felix_py.datastore.model import Invalid, Kind, NodeName, PoolName
from felix_py.datastore.store import Compare, ModRevisionIs, PrefixUnchangedSince, Store
from ipam.admin import delete_pool, remove_node
from ipam.errors import GaveUp
from ipam.office import Office


def remove(
    store: Store, key: ResourceKey, title: str, resource_version: str = "", *, dry_run: bool = False
) -> str:
    """Delete an object and what Calico deletes with it. Raises NotThere, Conflict.

    A pool is disabled first, its affinities are released, addresses in use stay with their pods
    until they are released. A node's endpoints, addresses, blocks and own peers go with it.
    """
    policies.refuse_mirrored(key, title)
    stored = store.get(key.path)
    if stored is None:
        raise NotThere(f"{title}: not there")
    if resource_version and resource_version != str(stored.mod_revision):
        raise Conflict(f"{title}: resourceVersion is {stored.mod_revision} now; look again")
    compares = _empty_tier(store, key, title)
    if resource_version:
        compares += (ModRevisionIs(stored.key, stored.mod_revision),)
    if dry_run:
        return f"{title} would be deleted"
    if isinstance(decode(key, stored.value), Invalid):
        return Writer(store).delete(key, title, *compares)
    try:
        if key.kind is Kind.IP_POOL:
            delete_pool(Office(store), PoolName(key.name))
        elif key.kind is Kind.NODE:
            remove_node(Office(store), NodeName(key.name))
        else:
            return Writer(store).delete(key, title, *compares)
    except GaveUp as error:
        raise Conflict(f"{title}: {error}") from error
    return f"{title} deleted"


def _empty_tier(store: Store, key: ResourceKey, title: str) -> tuple[Compare, ...]:
    """Refuse a tier that is built in or holds policies; one made meanwhile fails the transaction."""
    if key.kind is not Kind.TIER:
        return ()
    if key.name in policies.BUILT_IN:
        raise CommandError(f"{title} is built in and cannot be deleted")
    compares: list[Compare] = []
    for kind in sorted(policies.TIERED):
        listing = store.list(kind_prefix(kind))
        for item in listing.items:
            spec = mapping((fields_of(item.value) or {}).get("spec"))
            if spec.get("tier") == key.name:
                raise CommandError(f"{title}: {item.key} is in it; move or delete it first")
        compares.append(PrefixUnchangedSince(kind_prefix(kind), listing.revision))
    return tuple(compares)
