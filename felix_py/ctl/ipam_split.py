"""`felixctl ipam split`: one pool becomes several of equal size, in one transaction.

Blocks and addresses stay as they are: each lies in one of the new pools. calicoctl needs a locked store
for it, because it deletes and creates one after the other.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from felix_py.ctl.connection import Session
from felix_py.ctl.errors import CommandError, Conflict, NotThere
from felix_py.datastore.codec import decode, render_new
from felix_py.datastore.keys import ResourceKey, kind_prefix, parse
from felix_py.datastore.model import IPPool, Kind
from felix_py.datastore.store import (
    CreateRevisionIs,
    Delete,
    KeyValue,
    ModRevisionIs,
    Put,
    Store,
    Transaction,
)

MOST_PARTS = 32
"""Each is a compare and a write; etcd takes 128 operations in one transaction."""


def split(session: Session, parts: int, name: str, cidr: str) -> list[str]:
    """The names and CIDRs of the pools that there are now. Raises CommandError, NotThere, Conflict."""
    if bool(name) == bool(cidr):
        raise CommandError("say which pool: either --name NAME or --cidr CIDR")
    if parts < 2 or parts & (parts - 1) or parts > MOST_PARTS:
        raise CommandError(f"{parts} parts: must be 2, 4, 8, 16 or {MOST_PARTS}")
    with session.store() as store:
        key, item, pool = _found(store, name, cidr)
        wanted = _parts(key, item, pool, parts)
        outcome = store.transact(
            Transaction(
                (
                    ModRevisionIs(key.path, item.mod_revision),
                    *(CreateRevisionIs(each.path, 0) for each in wanted),
                ),
                (Delete(key.path), *(Put(each.path, raw) for each, (_, raw) in wanted.items())),
            )
        )
    if not outcome.succeeded:
        raise Conflict(
            f"IPPool({key.name}): changed meanwhile, or there is one named {next(iter(wanted)).name} "
            "already: look again"
        )
    return [f"IPPool({each.name}) {part}" for each, (part, _) in wanted.items()]


def _found(store: Store, name: str, cidr: str) -> tuple[ResourceKey, KeyValue, IPPool]:
    for item in store.list(kind_prefix(Kind.IP_POOL)).items:
        key = parse(item.key)
        pool = decode(key, item.value) if isinstance(key, ResourceKey) else None
        if (
            isinstance(key, ResourceKey)
            and isinstance(pool, IPPool)
            and (key.name == name if name else str(pool.cidr) == cidr)
        ):
            return key, item, pool
    raise NotThere(f"there is no IPPool {name or cidr} that can be read; `felixctl get pool`")


def _parts(
    key: ResourceKey, item: KeyValue, pool: IPPool, parts: int
) -> dict[ResourceKey, tuple[str, bytes]]:
    """Key of each new pool -> (its CIDR, its document); everything but the CIDR is the old one's."""
    deeper = pool.cidr.prefixlen + parts.bit_length() - 1
    if deeper > pool.block_size:
        raise CommandError(
            f"IPPool({key.name}): {parts} parts of {pool.cidr} would be /{deeper}, smaller than its "
            f"blocks (/{pool.block_size}): say fewer parts"
        )
    document: dict[str, Any] = json.loads(item.value)
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    found = {}
    for number, part in enumerate(pool.cidr.subnets(new_prefix=deeper)):
        new = ResourceKey(Kind.IP_POOL, f"split-{key.name}-{number}")
        spec = {**document["spec"], "cidr": str(part)}
        labels = document["metadata"].get("labels") or {}
        raw = render_new(new, spec, uid=str(uuid.uuid4()), created_at=at, labels=labels)
        found[new] = (str(part), raw)
    return found
