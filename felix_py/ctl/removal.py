"""Removing what others depend on: a pool with its blocks' affinities, a node with all it holds."""

from __future__ import annotations

from felix_py.ctl.errors import Conflict, NotThere
from felix_py.ctl.writer import Writer
from felix_py.datastore.codec import decode
from felix_py.datastore.keys import ResourceKey
from felix_py.datastore.model import Invalid, Kind, NodeName, PoolName
from felix_py.datastore.store import Store
from ipam.admin import delete_pool, remove_node
from ipam.errors import GaveUp
from ipam.office import Office


def remove(store: Store, key: ResourceKey, title: str, resource_version: str = "") -> str:
    """Delete an object and what Calico deletes with it. Raises NotThere, Conflict.

    A pool is disabled first, its affinities are released, addresses in use stay with their pods
    until they are released. A node's endpoints, addresses, blocks and own peers go with it.
    """
    stored = store.get(key.path)
    if stored is None:
        raise NotThere(f"{title}: not there")
    if resource_version and resource_version != str(stored.mod_revision):
        raise Conflict(f"{title}: resourceVersion is {stored.mod_revision} now; look again")
    if isinstance(decode(key, stored.value), Invalid):
        return Writer(store).delete(key, title)
    try:
        if key.kind is Kind.IP_POOL:
            delete_pool(Office(store), PoolName(key.name))
        elif key.kind is Kind.NODE:
            remove_node(Office(store), NodeName(key.name))
        else:
            return Writer(store).delete(key, title, resource_version=resource_version)
    except GaveUp as error:
        raise Conflict(f"{title}: {error}") from error
    return f"{title} deleted"
