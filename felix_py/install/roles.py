"""Who may write what in etcd (docs/ownership.md), as roles of etcd's users. Pure.

A user's name is the common name of its client certificate. Everybody reads everything: the keys hold no
secrets, and a watch needs its whole range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from felix_py.datastore.identity import ACCEPTED, CLUSTER
from felix_py.datastore.keys import (
    ASSIGNMENT,
    AUDIT,
    COMPACTED,
    HANDLES,
    HOSTS,
    OWN,
    OWN_CONTROLLERS,
    OWN_NODES,
    RECOVERY,
    kind_prefix,
)
from felix_py.datastore.model import Kind

ROOT, NODE, CONTROLLERS = "root", "felix-py-node", "felix-py-controllers"
"""etcd asks for a user of the name root."""
CALICO = "/calico/"


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission: on all keys with this prefix, or (exact) on this key."""

    key: str
    write: bool
    exact: bool = False


READ_ALL = (Grant(CALICO, write=False), Grant(OWN, write=False))
_IPAM = tuple(Grant(prefix, write=True) for prefix in (ASSIGNMENT, HOSTS, HANDLES))
_OF_NODES = tuple(
    Grant(prefix, write=True)
    for prefix in (kind_prefix(Kind.WORKLOAD_ENDPOINT), kind_prefix(Kind.NODE), OWN_NODES)
)

_OF_ALL_NODES = tuple(Grant(key, write=True, exact=True) for key in (COMPACTED, AUDIT))
_RECOVERY = (
    Grant(RECOVERY, write=True),
    Grant(ACCEPTED, write=True, exact=True),
    Grant(CLUSTER.path, write=True, exact=True),
)
"""A store that went back is closed, judged and accepted by the nodes (ADR 18)."""

ROLES: Mapping[str, tuple[Grant, ...]] = {
    NODE: (*READ_ALL, *_IPAM, *_OF_NODES, *_OF_ALL_NODES, *_RECOVERY),
    CONTROLLERS: (
        *READ_ALL,
        *_IPAM,
        *_OF_NODES,
        Grant(kind_prefix(Kind.PROFILE), write=True),
        Grant(OWN_CONTROLLERS, write=True),
    ),
}
"""Pools, peers, configurations and IPAM's settings are the operator's: root alone writes them."""
